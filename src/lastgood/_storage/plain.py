"""Access to regular files only: reading a pipe or a device may never end, and a link may lead anywhere."""

import errno
import os
import stat
from pathlib import Path

from .systems import SYSTEM


def open_plain(path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
    """Return a descriptor of a regular file.

    Args:
        path: The path of the file.
        flags: The flags to open it with; a new file gets the permissions that the umask allows.
        follow: Whether ``path`` may be a symbolic link, which is fine for reading.

    Raises:
        OSError: It is not a regular file, or a system call failed.
    """
    descriptor = SYSTEM.open(path, flags, follow=follow)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return descriptor


def read_plain(path: Path, longest: int) -> bytes:
    """Return the contents of a regular file.

    Raises:
        OSError: It is not a regular file, is longer than ``longest`` bytes, or a system call failed.
    """
    with os.fdopen(open_plain(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > longest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
        return file.read(longest)


def check_plain(directory: Path) -> None:
    """Check that a directory, which other code will read, holds only regular files and directories.

    Raises:
        OSError: It holds a pipe, a device or a link to a directory, or a system call failed.
    """
    for parent, directories, files in os.walk(directory):
        for name in files:
            if not Path(parent, name).is_file():
                raise OSError(errno.EINVAL, "not a regular file", os.fspath(Path(parent, name)))
        for name in directories:
            check_no_link(Path(parent, name))


def check_no_link(path: Path) -> None:
    """Check that a path is not itself a symbolic link.

    Raises:
        OSError: It is a symbolic link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
