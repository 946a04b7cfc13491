"""System calls that make files durable and put one thing in another's place, as well as the file system can."""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOTTY}
"""What a system answers that does not have a call, or not for this file system."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# A sandbox may refuse all calls that it does not know; an overlay cannot move a directory of its lower layer.
_NO_EXCHANGE = UNSUPPORTED | {errno.EPERM, errno.EXDEV}
_NO_RENAME = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
# Directories of some network shares cannot even be opened.
_NO_DIRECTORY = UNSUPPORTED | {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EBADF}


def sync(descriptor: int) -> bool:
    """Wait until an open file is on the disk itself; return False where the file system does not know how.

    Raises:
        OSError: The data may be lost: the file must be written anew, since a second fsync would report success.
    """
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync alone leaves data in the drive's cache
    if full_sync is not None:
        with _unless(UNSUPPORTED):
            fcntl.fcntl(descriptor, full_sync)
            return True
    with _unless(UNSUPPORTED):
        os.fsync(descriptor)
        return True
    return False


def sync_file(path: Path) -> bool:
    """Wait until a file is on the disk itself. See :func:`sync`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return sync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> bool:
    """Wait until the names in a directory are on the disk itself. See :func:`sync`."""
    with _unless(_NO_DIRECTORY):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _unless(_NO_DIRECTORY):
                return sync(descriptor)
        finally:
            os.close(descriptor)
    return False


def sync_tree(path: Path) -> None:
    """Wait until a directory, and all below it, is on the disk itself. See :func:`sync`."""
    for directory, _, files in os.walk(path, topdown=False):
        for name in files:
            sync_file(Path(directory, name))
        sync_directory(Path(directory))


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
    sync_directory(path.parent)


def exchange(a: Path, b: Path) -> bool:
    """Swap what two names stand for in one act; return False where the system cannot.

    Raises:
        OSError: The swap was refused.
    """
    renameat2 = _of_the_c_library("renameat2")
    if renameat2 is None:
        return False
    with _unless(_NO_EXCHANGE):
        if renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(a), None, os.fspath(b))
    return False


def move(source: Path, target: Path) -> bool:
    """Put a file, or a directory, in a target's place in one act; return False where the system cannot.

    Raises:
        OSError: The system refused.
    """
    with _unless(_NO_RENAME):
        source.replace(target)
        return True
    return False


def rename(source: Path, target: Path) -> None:
    """Put a file, or a directory, in a target's place: by a copy, where the system moves nothing.

    Raises:
        OSError: The system refused.
    """
    if not move(source, target):
        _copy(source, target)
        remove(source)


def move_aside(directory: Path, aside: Path) -> None:
    """Rename a directory: by a copy that has the new name when it is whole, where the system cannot move it.

    Raises:
        OSError: The system refused.
    """
    if not move(directory, aside):
        part = aside.with_name(f"{aside.name}.part")
        _copy(directory, part)
        rename(part, aside)
        remove(directory)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reserve(descriptor: int, size: int) -> None:
    """Reserve space for a file, where the file system can do it at once; the C library would write to each block.

    Raises:
        OSError: There is not so much space.
    """
    fallocate = _of_the_c_library("fallocate64") or _of_the_c_library("fallocate")
    if fallocate is not None:
        with _unless(UNSUPPORTED | {errno.EPERM}):
            if fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a directory, durably."""
    if not source.is_dir():
        if target.is_symlink():
            target.unlink()
        shutil.copyfile(source, target)
        sync_file(target)
        return
    target.mkdir()
    for each in source.iterdir():
        _copy(each, target / each.name)
    sync_directory(target)


@cache
def _of_the_c_library(name: str) -> Any:
    """Return a function of the C library; None if it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError, TypeError):
        return None


@contextlib.contextmanager
def _unless(numbers: set[int]) -> Iterator[None]:
    """Go on behind the block where the system answers in it that it cannot do that."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
