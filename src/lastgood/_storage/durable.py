"""Making files durable, and putting one thing in another's place, as well as the file system can."""

import errno
import os
import shutil
from pathlib import Path

from .systems import SYSTEM, UNSUPPORTED
from .systems.base import unless

_NO_RENAME = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
# Directories of some network shares cannot even be opened.
_NO_DIRECTORY = UNSUPPORTED | {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EBADF}


def sync(descriptor: int) -> bool:
    """Wait until an open file is on the disk itself; return False where the file system does not know how.

    Raises:
        OSError: The data may be lost: the file must be written anew, since a second fsync would report success.
    """
    with unless(UNSUPPORTED):
        SYSTEM.sync(descriptor)
        return True
    return False


def sync_file(path: Path) -> bool:
    """Wait until a file is on the disk itself. See :func:`sync`."""
    descriptor = SYSTEM.open_to_sync(path)
    try:
        return sync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> bool:
    """Wait until the names in a directory are on the disk itself. See :func:`sync`."""
    with unless(_NO_DIRECTORY):
        SYSTEM.sync_directory(path)
        return True
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


def move(source: Path, target: Path) -> bool:
    """Put a file, or a directory, in a target's place in one act; return False where the system cannot.

    Raises:
        OSError: The system refused.
    """
    with unless(_NO_RENAME):
        SYSTEM.replace(source, target)
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
        SYSTEM.remove(path)


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
