"""One meeting of the processes of a training: the chief sends values, the others answer."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._errors import GroupError
from .mailbox import Mailbox

_WELL, _FAILED = b"+", b"-"
_LEAST_SECONDS = 1.0  # to wait for a message that should be there: its answer may come over a busy network
_BEATS = 3  # how many times the chief says that it is busy while the others wait as long as they may


class Meeting:
    """One exchange of messages. Each process must call ``tell`` and ``collect`` in the same order.

    Attributes:
        rank: The rank of this process, from 0.
        size: The number of processes.
        preempted: See :class:`Group`.
    """

    preempted: Callable[[], bool] | None = None

    def __init__(
        self, rank: int, size: int, mailbox: Mailbox | None, name: str, seconds: float, read: list[str]
    ) -> None:
        """Create a meeting; nothing is sent yet.

        Args:
            rank: The rank of this process, from 0.
            size: The number of processes.
            mailbox: Where the processes leave messages; None if there is one process.
            name: The meeting's name, the same in all processes.
            seconds: How long a process waits for another.
            read: Names of the chief's messages from earlier meetings, removed when all have answered in this one.
        """
        self.rank, self.size, self._mailbox = rank, size, mailbox
        self._name, self._seconds = name, seconds
        self._least_seconds = min(_LEAST_SECONDS, seconds)
        self._read, self._old = read, list(read)
        self._told = self._answers = 0
        self._heard: bytes | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief."""
        return self.rank == 0

    def tell(self, value: Any = None) -> Any:
        """Return the chief's ``value`` in all processes.

        Args:
            value: A value that JSON can hold; that of the other processes is ignored.

        Raises:
            GroupError: The chief has failed, or has not answered in time.
        """
        if self._mailbox is None:
            return value
        name = self._next_word()
        if self.rank == 0:
            self._put_word(name, json.dumps({"value": value}).encode())
            return value
        message, alive = self._mailbox.take(name, self._seconds), True
        while message is None and alive:
            alive = self._hears_beat(self._mailbox)
            message = self._mailbox.take(name, self._seconds if alive else self._least_seconds)
        if message is None:
            raise GroupError(
                f"Process 0 of {self.size} has not answered for {self._seconds:g} s. It decides when to save: "
                "check its output."
            )
        word = json.loads(message)
        if "failed" in word:
            raise GroupError(word["failed"])
        return word["value"]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Make the others wait until the chief has finished the block, however long that takes, while it is alive."""
        if self._mailbox is None or self.rank:
            yield
            return
        done = threading.Event()
        beating = threading.Thread(target=self._beat, args=(done,), name="lastgood-busy", daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(self._seconds / _BEATS):
            self._put_word(f"{self._name}/busy", str(time.monotonic()).encode())

    def _hears_beat(self, mailbox: Mailbox) -> bool:
        """Return True if the chief has said since the last call that it is busy."""
        before, self._heard = self._heard, mailbox.take(f"{self._name}/busy", self._least_seconds)
        return self._heard is not None and self._heard != before

    def collect(self, value: bytes = b"") -> list[bytes]:
        """Send ``value`` to the chief; return all values there, in order, and an empty list elsewhere, without waiting.

        Raises:
            GroupError: In the chief: another process has failed, or has not answered in time.
        """
        if self._mailbox is None:
            return [value]
        count, self._answers = self._answers, self._answers + 1
        if self.rank:
            self._mailbox.put(f"{self._name}/{self.rank}/{count}", _WELL + value)
            return []
        found, until = [value], time.monotonic() + self._seconds
        for rank in range(1, self.size):
            name = f"{self._name}/{rank}/{count}"
            message = self._mailbox.take(name, max(self._least_seconds, until - time.monotonic()))
            if message is None:
                raise GroupError(
                    f"Process {rank} of {self.size} has not answered for {self._seconds:g} s. Check its output."
                )
            self._mailbox.drop(name)
            if message[:1] == _FAILED:
                raise GroupError(message[1:].decode())
            found.append(message[1:])
        self._forget()
        return found

    def conclude(self) -> None:
        """Wait until all processes have reached this point.

        Raises:
            GroupError: One of them has failed, or has not reached it in time.
        """
        try:
            self.collect()
        except GroupError as error:
            self.fail(error)
            raise
        self.tell()
        if self._mailbox is not None and not self._mailbox.outlives_chief:
            self.collect()  # the chief may end now, and takes the messages with it

    def fail(self, error: BaseException) -> None:
        """Report to the other processes that this one has failed."""
        if self._mailbox is None:
            return
        text = str(error) if isinstance(error, GroupError) else _described(error, self.rank, self.size)
        if self.rank == 0:
            self._put_word(self._next_word(), json.dumps({"failed": text}).encode())
        elif not isinstance(error, GroupError):  # a GroupError came from the chief
            self._mailbox.put(f"{self._name}/{self.rank}/{self._answers}", _FAILED + text.encode())

    def _next_word(self) -> str:
        count, self._told = self._told, self._told + 1
        return f"{self._name}/0/{count}"

    def _put_word(self, name: str, message: bytes) -> None:
        if self._mailbox is not None:
            self._mailbox.put(name, message)
            if name not in self._read:
                self._read.append(name)

    def _forget(self) -> None:
        """Remove the chief's messages from earlier meetings: whoever has answered in this one has read them."""
        for name in self._old:
            self._read.remove(name)
            if self._mailbox is not None:
                self._mailbox.drop(name)
        self._old = []


def _described(error: BaseException, rank: int, size: int) -> str:
    """Return which process has failed, and why."""
    return f"Process {rank} of {size}, on {socket.gethostname()}, has failed: {type(error).__name__}: {error}"
