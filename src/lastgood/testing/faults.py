"""A storage around another one, in which what was planned to go wrong does."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .._errors import ArgumentError
from .._storage import entries
from .._storage.base import Storage
from .._storage.choice import wrapped
from .._storage.durable import fsync_tree

POINTS = {
    "stage": "before a save: nothing of it is there",
    "write": "where the checkpoint is to be written to its temporary path, and nothing is",
    "commit": "what was written is durable, and not visible",
    "reply": "the checkpoint is visible and durable; whoever saved it has not heard of that",
    "discard": "before a checkpoint is deleted",
    "discarded": "it is deleted; whoever deleted it has not heard of that",
    "reclaim": "before what dead processes left is removed",
    "check_writable": "before it is found out whether a directory takes files",
    "free_space": "before free space is asked for",
}
"""Where something can go wrong, and what is true there."""


class Crash(BaseException):
    """The end of a process, for tests that go on in the same one: no ``except Exception`` holds it up.

    The process lives on, so what was half-written is removed behind it. What a process leaves that was killed, only a
    process that is killed can show: have the fault do ``lambda: os.kill(os.getpid(), signal.SIGKILL)``.
    """


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: Where: one of :data:`POINTS`.
        what: An exception, which is raised there, such as ``OSError(errno.ENOSPC, "…")`` or :class:`Crash`; or a
            function that is called there, to wait, to kill the process, or to look.
        nth: At which passing of that point, counted from 1 by each storage for itself; None for each.

    Raises:
        ArgumentError: A ValueError: there is no such point, or ``nth`` is none.
    """

    at: str
    what: BaseException | Callable[[], object]
    nth: int | None = 1

    def __post_init__(self) -> None:
        if self.at not in POINTS:
            raise ArgumentError(f"Unrecognized point: {self.at!r}. Expected one of: {', '.join(POINTS)}.")
        if self.nth is not None and self.nth < 1:
            raise ArgumentError(f"Unrecognized nth: {self.nth!r}. Expected a number from 1 on, or None.")

    def happen(self) -> None:
        """Let it go wrong."""
        if isinstance(self.what, BaseException):
            raise self.what.with_traceback(None)  # it may be raised again, and leaves its past behind
        self.what()


class FaultyStorage:
    """Another storage, in which some things go wrong.

    Attributes:
        storage: The other storage, which does all the work.
        faults: What goes wrong.
    """

    def __init__(self, storage: Storage, *faults: Fault) -> None:
        """Take the storage, and what is to go wrong in it."""
        self.storage = storage
        self.faults = faults
        self._passed: Counter[str] = Counter()
        self._counting = threading.Lock()

    @property
    def publishes(self) -> bool:
        """Whether what is staged becomes visible, as the other storage says."""
        return self.storage.publishes

    @publishes.setter
    def publishes(self, value: bool) -> None:
        self.storage.publishes = value

    @contextmanager
    def stage(self, target: Path, suffix: str) -> Iterator[Path]:
        """Stage as the other storage does, unless a fault comes in between."""
        self._pass("stage")
        with self.storage.stage(target, suffix) as temporary:
            self._pass("write")
            yield temporary
            for part in entries.members(temporary) if entries.is_group(temporary) else [temporary]:
                fsync_tree(part)
            self._pass("commit")
        self._pass("reply")

    def reclaim(self, directory: Path) -> list[Path]:
        """Reclaim as the other storage does, unless a fault comes first."""
        self._pass("reclaim")
        return self.storage.reclaim(directory)

    def discard(self, path: Path) -> None:
        """Discard as the other storage does, unless a fault comes in between."""
        self._pass("discard")
        self.storage.discard(path)
        self._pass("discarded")

    def check_writable(self, directory: Path) -> None:
        """Check as the other storage does, unless a fault comes first."""
        self._pass("check_writable")
        self.storage.check_writable(directory)

    def free_space(self, directory: Path) -> int:
        """Answer as the other storage does, unless a fault comes first."""
        self._pass("free_space")
        return self.storage.free_space(directory)

    def _pass(self, point: str) -> None:
        """Let happen what is to go wrong at a point that is reached now."""
        with self._counting:
            self._passed[point] += 1
            now = self._passed[point]
        for fault in self.faults:
            if fault.at == point and fault.nth in (None, now):
                fault.happen()


@contextmanager
def faults(*planned: Fault) -> Iterator[None]:
    """Have some things go wrong in each ``ModelCheckpoint`` and ``Checkpointer`` that is made in the block.

    They keep that storage when the block has ended. Each counts for itself.

    Args:
        *planned: What goes wrong.
    """
    with wrapped(lambda storage: FaultyStorage(storage, *planned)):
        yield
