"""The interface to an operating system."""

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOTTY}
"""The error numbers for a call that the system does not have, or not for this file system."""


class System(ABC):
    """An operating system: files by offset, locks, atomic renames and syncs, and how much memory is free."""

    folds_case = False
    """Whether names that differ only in case usually name the same file."""

    replaces_open_files = True
    """Whether a file can be replaced while it is open."""

    has_names = False
    """Whether the processes of a machine share names that are not files: see :meth:`take_name`."""

    @abstractmethod
    def open(self, path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
        """Return a descriptor that started programs do not inherit; opening a pipe does not block.

        Args:
            path: The path of the file.
            flags: The flags to open it with; a new file gets the permissions that the umask allows.
            follow: Whether ``path`` may be a symbolic link.

        Raises:
            OSError: The system call failed.
        """

    @abstractmethod
    def read_into(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read bytes at an offset into a buffer, from any thread; return how many were read."""

    @abstractmethod
    def write(self, descriptor: int, content: Any, offset: int) -> int:
        """Write bytes at an offset, from any thread; return how many were written."""

    def free_memory(self) -> int | None:
        """Return how many bytes this process can still take before memory runs out; None if this cannot be known."""
        return None

    def open_direct(self, path: Path) -> int:
        """Return a descriptor of a new file that bypasses the system's cache if possible."""
        return self.open(path, os.O_RDWR | os.O_CREAT)

    def make_buffered(self, descriptor: int) -> bool:
        """Use the system's cache from now on; return False if it was already used."""
        del descriptor
        return False

    def reserve(self, descriptor: int, size: int) -> None:
        """Reserve space for a file, if the system can do that without writing.

        Raises:
            OSError: There is not enough space, or the file system cannot reserve it.
        """
        del descriptor, size

    def share(self, descriptor: int, source: int, offset: int, length: int) -> None:
        """Replace blocks of an open file with those of another file at the same offset, which both then share.

        Args:
            descriptor: The file.
            source: The other file, on the same file system.
            offset: Where the bytes begin in both files.
            length: The number of bytes; 0 for all up to the other file's end.

        Raises:
            OSError: The system or the file system cannot share blocks, or these two files cannot.
        """
        del descriptor, source, offset, length
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def append(self, descriptor: int, content: bytes) -> int:
        """Write atomically to the end of a file opened for appending; return how many bytes were written."""
        return os.write(descriptor, content)

    @abstractmethod
    def open_to_sync(self, path: Path) -> int:
        """Open a file in a way that it can be synced; return its descriptor."""

    def sync(self, descriptor: int) -> None:
        """Wait until an open file is on the disk itself.

        Raises:
            OSError: The sync failed, or the file system does not support it.
        """
        os.fsync(descriptor)

    @abstractmethod
    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory are on the disk itself. See :meth:`sync`."""

    @abstractmethod
    def replace(self, source: Path, target: Path) -> None:
        """Move a file or directory to ``target`` atomically, replacing what is there.

        Raises:
            OSError: The system call failed.
        """

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: The system call failed.
        """
        path.unlink(missing_ok=True)

    def exchange(self, a: Path, b: Path) -> bool:
        """Swap two names atomically; return False if the system cannot.

        Raises:
            OSError: The system call failed.
        """
        del a, b
        return False

    @abstractmethod
    def open_to_lock(self, directory: Path) -> int:
        """Return a descriptor that represents a directory for locking."""

    def close_lock(self, descriptor: int, directory: Path) -> None:
        """Release the lock of a directory. See :meth:`open_to_lock`."""
        del directory
        os.close(descriptor)

    @abstractmethod
    def lock(self, descriptor: int) -> None:
        """Lock an open file; forked children hold the lock, too.

        Raises:
            BlockingIOError: The lock is already held.
            OSError: The file system has no locks.
        """

    @abstractmethod
    def unlock(self, descriptor: int) -> None:
        """Unlock an open file."""

    def close_and_remove(self, descriptor: int, path: Path) -> None:
        """Remove a file whose lock this process holds, if it exists, and release the lock."""
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    @abstractmethod
    def lock_for_process(self, descriptor: int) -> None:
        """Lock an open file for this process alone. See :meth:`lock`."""

    def take_name(self, name: str) -> int | None:
        """Take a machine-wide name, until the descriptor is closed.

        Returns:
            A descriptor; None if the system refused.

        Raises:
            BlockingIOError: Another process has it; the message says which.
        """
        del name
        return None

    def flaw_of(self, name: str) -> str:
        """Return why a name is not a valid file name; empty if it is valid."""
        del name
        return ""

    def with_slashes(self, path: str) -> str:
        """Return a path with slashes as separators."""
        return path

    def whole(self, path: Path) -> Path:
        """Return a path in the form that may be of any length."""
        return path


@contextlib.contextmanager
def unless(numbers: set[int]) -> Iterator[None]:
    """Suppress an OSError that has one of these numbers, and continue after the block."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
