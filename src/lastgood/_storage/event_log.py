"""The log of a run in the local file system: ``.lastgood/journal.jsonl``, and a lock beside it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import SaveError
from . import locks
from .base import NOTES, EventLog
from .durable import sync
from .plain import check_no_link, open_plain
from .systems import SYSTEM

_NAME = "journal.jsonl"
_LOCK = "journal.lock"


class LocalEventLog(EventLog):
    """A log in one file, which several processes can append to at the same time."""

    def __init__(self, directory: Path) -> None:
        """Initialize with the run's directory."""
        self._directory = directory / NOTES

    @property
    def exists(self) -> bool:
        """Whether the run has a directory for it."""
        return self._directory.is_dir() and not self._directory.is_symlink()

    def append(self, line: bytes, *, durable: bool) -> None:
        """Append a line. See :meth:`EventLog.append`."""
        line += b"\n"
        descriptor = open_in_place(self._directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            if size and _last_byte(descriptor, size) != b"\n":  # a process died in the middle of a line
                line = b"\n" + line
            while line:  # a full disk accepts a part and refuses the rest
                line = line[SYSTEM.append(descriptor, line) :]
            if durable:
                sync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, offset: int, tail: bytes, most: int) -> tuple[bytes, bool]:
        """Return what follows ``offset``. See :meth:`EventLog.read`."""
        try:
            with os.fdopen(open_plain(self._directory / _NAME, follow=False), "rb") as file:
                if not self.exists:
                    return b"", False
                file.seek(offset - len(tail))
                if file.read(len(tail)) == tail:
                    return file.read(most), True
                file.seek(0)  # the file has been replaced
                return file.read(most), False
        except OSError:
            return b"", False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out of the block. See :meth:`EventLog.alone`."""
        path = self._directory / _LOCK
        with locks.held(open_in_place(path, os.O_RDWR | os.O_CREAT), path):
            yield


def _last_byte(descriptor: int, size: int) -> bytes:
    last = bytearray(1)
    SYSTEM.read_into(descriptor, memoryview(last), size - 1)
    return bytes(last)


def open_in_place(path: Path, flags: int) -> int:
    """Open a file in a run's ``.lastgood``, which is created if it is missing; links are not followed.

    Raises:
        SaveError: A link, a pipe or the like is at its path or at that of ``.lastgood``, or a system call failed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_no_link(path.parent)
        return open_plain(path, flags, follow=False)
    except OSError as error:
        raise SaveError.during("write to", path, error) from error
