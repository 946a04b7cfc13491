"""The log of a run in a bucket, where nothing can be appended to: an object that is replaced by a longer one.

    .lastgood/journal.jsonl, journal-00001.jsonl, …

An object that is long enough stays as it is, and the next one continues the log. Each is replaced under the condition
that it is still the one that was read, so that lines of several processes all survive. Lines that need not be durable
are sent in the background, together with those that have been appended since the last request.
"""

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..._errors import RunInUseError
from ..._threads import Beside, in_forked_children
from ..base import NOTES, EventLog
from . import keys
from .bucket import Bucket, ChangedError, Tag
from .lease import Lease

_LONG = 256 * 1024
_PATIENCE = 10.0
_LOCK_SECONDS = 15.0
_TRIES = 50
_LOGGER = logging.getLogger("lastgood")
_logs: "weakref.WeakSet[ObjectEventLog]" = weakref.WeakSet()


class ObjectEventLog(EventLog):
    """Lines in the objects of one run; all users of a run in this process share one."""

    def __init__(self, bucket: Bucket, directory: str, *, conditional: Callable[[], bool]) -> None:
        """Create the log; nothing is sent yet.

        Args:
            bucket: The bucket.
            directory: The key below which the run lies.
            conditional: Returns whether the store supports conditional writes.
        """
        self._bucket = bucket
        self._notes = keys.join(directory, NOTES)
        self._conditional = conditional
        self._parts: list[tuple[Tag | None, bytes]] = []  # tag and contents of each object, as they were last seen
        self._exists: bool | None = None
        self._waiting: deque[bytes] = deque()
        self._sending: Beside[None] | None = None
        self._starting = threading.Lock()
        self._lock = threading.RLock()  # held during requests, so training must never wait for it
        self._alone = threading.Lock()
        self._lease = Lease(bucket, f"{self._notes}/journal.lock", "The right to change this run", _LOCK_SECONDS)
        _logs.add(self)

    @property
    def exists(self) -> bool:
        """Whether the run has a place for the log; requested only once, since hooks read this."""
        if self._exists is None and not self._waiting:
            try:
                self._exists = next(self._bucket.below(self._notes), None) is not None
            except OSError:
                return False
        return bool(self._exists or self._waiting)

    def append(self, line: bytes, *, durable: bool) -> None:
        """Append a line. See :meth:`EventLog.append`."""
        self._waiting.append(line)
        if durable:
            self.flush()
            return
        with self._starting:
            sending = None
            if self._sending is None:
                sending = self._sending = Beside(self._send_quietly, "lastgood-journal")
        if sending is not None:
            sending.start()

    def _send_quietly(self) -> None:
        try:
            while True:
                self.flush()
                with self._starting:
                    if not self._waiting:
                        self._sending = None
                        return
        except OSError as error:
            self._sending = None
            _LOGGER.warning("Could not note an event of the run %r: %s", self._bucket.url_of(self._notes), error)

    def flush(self) -> None:
        """Write all waiting lines to the bucket.

        Raises:
            OSError: The store failed.
        """
        with self._lock:
            while self._waiting:
                count = len(self._waiting)
                self._add(b"".join(self._waiting[at] + b"\n" for at in range(count)))
                for _ in range(count):
                    self._waiting.popleft()
                self._exists = True

    def _add(self, content: bytes) -> None:
        for attempt in range(_TRIES):
            if attempt or not self._parts or not self._conditional():
                self._refresh()
            new = not self._parts or len(self._parts[-1][1]) >= _LONG
            tag, before = (None, b"") if new else self._parts[-1]
            number, whole = len(self._parts) - (not new), before + content
            try:
                tag = self._put(number, whole, tag)
            except (FileExistsError, ChangedError, FileNotFoundError):
                self._refresh()
                if not (number < len(self._parts) and self._parts[number][1].startswith(whole)):
                    time.sleep(0.005 * attempt)
                    continue  # otherwise the write succeeded, and only the answer was lost
                return
            self._parts[number:] = [(tag, whole)]
            return
        raise OSError(f"other processes kept changing {self._key(len(self._parts))!r}; try again")

    def _put(self, number: int, content: bytes, instead_of: Tag | None) -> Tag:
        if not self._conditional():
            return self._bucket.put(self._key(number), content)
        return self._bucket.put(self._key(number), content, new=instead_of is None, instead_of=instead_of)

    def _key(self, number: int) -> str:
        return f"{self._notes}/journal{f'-{number:05d}' if number else ''}.jsonl"

    def _refresh(self) -> None:
        """Read what is new: the last known object, and those after it."""
        number = max(0, len(self._parts) - 1)
        while True:
            try:
                known = self._parts[number][0] if number < len(self._parts) else None
                found = self._bucket.head(self._key(number))
                if found.tag != known:
                    found, content = self._bucket.read(self._key(number), found.size + _LONG)
                    self._parts[number:] = [(found.tag, content)]
            except FileNotFoundError:
                if number == 0 or number >= len(self._parts):
                    del self._parts[number:]
                    return
                del self._parts[:]  # another process has removed it
                number = -1
            number += 1

    def read(self, offset: int, tail: bytes, most: int) -> tuple[bytes, bool]:
        """Return the bytes after ``offset``. See :meth:`EventLog.read`."""
        with self._lock:
            try:
                self.flush()
                self._refresh()
            except OSError:
                return b"", False
            content = b"".join(part for _, part in self._parts)
        before = max(0, offset - len(tail))
        goes_on = content[before:offset] == tail
        return (content[offset : offset + most], True) if goes_on else (content[:most], False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of the block. See :meth:`EventLog.alone`."""
        with self._alone:
            if not self._conditional():
                yield
                return
            try:
                self._lease.take(_PATIENCE)
            except RunInUseError as error:
                raise RunInUseError(
                    f"{error} has held {self._bucket.url_of(self._notes)!r} for {_PATIENCE:g} s to make changes "
                    "there; it may have been stopped. Wait until it continues, or end it."
                ) from error
            try:
                yield
            finally:
                self._lease.release()


def _flush_all() -> None:
    for log in list(_logs):
        log._send_quietly()


def _forget() -> None:
    """Drop all logs in a forked child: the parent writes the waiting lines."""
    _logs.clear()


atexit.register(_flush_all)
in_forked_children(_forget)
