"""What is asked of an operating system."""

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOTTY}
"""What a system answers that does not have a call, or not for this file system."""


class System(ABC):
    """An operating system: files by offset, locks, and what makes one thing take another's place and last."""

    folds_case = False
    """Whether two names that differ in upper and lower case alone are one, as they commonly are there."""

    replaces_open_files = True
    """Whether a file's place can be taken while somebody has it open."""

    has_names = False
    """Whether processes of one machine share names that are no files: see :meth:`take_name`."""

    @abstractmethod
    def open(self, path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
        """Return a descriptor, which processes that are started do not inherit; nobody waits for a pipe's other end.

        Args:
            path: Where the file is.
            flags: How to open it; a file that they make has the permissions that the umask leaves.
            follow: Whether ``path`` may be a symbolic link.

        Raises:
            OSError: The system refused.
        """

    @abstractmethod
    def read_into(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read into a buffer what lies at an offset, from any thread; return how many bytes came."""

    @abstractmethod
    def write(self, descriptor: int, content: Any, offset: int) -> int:
        """Write bytes at an offset, from any thread; return how many were taken."""

    def open_direct(self, path: Path) -> int:
        """Return a descriptor of a new file, written and read past the system's cache where that is possible."""
        return self.open(path, os.O_RDWR | os.O_CREAT)

    def make_buffered(self, descriptor: int) -> bool:
        """Write through the cache from now on; return False if that was done all the time."""
        del descriptor
        return False

    def reserve(self, descriptor: int, size: int) -> None:
        """Reserve space for a file, where that is done at once.

        Raises:
            OSError: There is not so much space, or the file system reserves none.
        """
        del descriptor, size

    def share(self, descriptor: int, source: int, offset: int, length: int) -> None:
        """Have an open file refer to the blocks that another one has at the same place, in place of its own.

        Args:
            descriptor: The file.
            source: The other file, on the same file system.
            offset: Where the bytes begin, in both.
            length: How many there are; 0 for all up to the other file's end.

        Raises:
            OSError: The system or the file system cannot, or these two files cannot.
        """
        del descriptor, source, offset, length
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def append(self, descriptor: int, content: bytes) -> int:
        """Write to the end of a file that is open for that, in one act; return how many bytes were taken."""
        return os.write(descriptor, content)

    @abstractmethod
    def open_to_sync(self, path: Path) -> int:
        """Return a descriptor of a file that can be synced."""

    def sync(self, descriptor: int) -> None:
        """Wait until an open file is on the disk itself.

        Raises:
            OSError: It is not, or the file system does not know how.
        """
        os.fsync(descriptor)

    @abstractmethod
    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory are on the disk itself. See :meth:`sync`."""

    @abstractmethod
    def replace(self, source: Path, target: Path) -> None:
        """Put a file, or a directory, in a target's place in one act.

        Raises:
            OSError: The system refused.
        """

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: The system refused.
        """
        path.unlink(missing_ok=True)

    def exchange(self, a: Path, b: Path) -> bool:
        """Swap what two names stand for in one act; return False where the system cannot.

        Raises:
            OSError: The system refused.
        """
        del a, b
        return False

    @abstractmethod
    def open_to_lock(self, directory: Path) -> int:
        """Return a descriptor that stands for a directory when it is locked."""

    def close_lock(self, descriptor: int, directory: Path) -> None:
        """Give up the lock of a directory. See :meth:`open_to_lock`."""
        del directory
        os.close(descriptor)

    @abstractmethod
    def lock(self, descriptor: int) -> None:
        """Lock an open file; forked children hold the lock, too.

        Raises:
            BlockingIOError: Another holds it.
            OSError: The file system has no locks.
        """

    @abstractmethod
    def unlock(self, descriptor: int) -> None:
        """Unlock it."""

    def close_and_remove(self, descriptor: int, path: Path) -> None:
        """Remove a file whose lock this process holds, if it is there, and give up the lock."""
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    @abstractmethod
    def lock_for_process(self, descriptor: int) -> None:
        """Lock an open file for this process alone. See :meth:`lock`."""

    def take_name(self, name: str) -> int | None:
        """Take a name that the processes of this machine share, until the descriptor is closed.

        Returns:
            A descriptor; None if the system refused.

        Raises:
            BlockingIOError: Another process has it; the text says which.
        """
        del name
        return None

    def flaw_of(self, name: str) -> str:
        """Return why no file can have a name; empty if one can."""
        del name
        return ""

    def with_slashes(self, path: str) -> str:
        """Return a path with a slash between its names."""
        return path

    def whole(self, path: Path) -> Path:
        """Return a path in the form in which it may be as long as it likes."""
        return path


@contextlib.contextmanager
def unless(numbers: set[int]) -> Iterator[None]:
    """Go on behind the block where the system answers in it that it cannot do that."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
