"""System calls that make files durable and put one thing in another's place, atomically."""

import ctypes
import errno
import fcntl
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a kernel, a C library or a file system answers that cannot swap two names.
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def fsync_path(path: Path) -> None:
    """Wait until ``path``, a file or a directory, is on the disk itself.

    Raises:
        OSError: The data may be lost: the file must be written anew, since a second fsync would report success.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync alone leaves data in the drive's cache
        if full_sync is not None:
            fcntl.fcntl(descriptor, full_sync)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(path: Path) -> None:
    """Wait until ``path``, and all below it if it is a directory, is on the disk itself."""
    if path.is_dir():
        for directory, _, files in os.walk(path, topdown=False):
            for name in files:
                fsync_path(Path(directory, name))
            fsync_path(Path(directory))
    else:
        fsync_path(path)


def make_directories(path: Path) -> None:
    """Make ``path`` and its missing parents, durably.

    Raises:
        OSError: One of them could not be made.
    """
    if path.is_dir():
        return
    make_directories(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():  # then it is no other process that was as fast, but a file that stands in the way
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path)) from None
    fsync_path(path.parent)


def exchange(a: Path, b: Path) -> bool:
    """Swap what two names stand for in one act; return False where the system cannot.

    Raises:
        OSError: The swap was refused.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), os.fspath(a), None, os.fspath(b))
