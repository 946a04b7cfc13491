"""Plain files, and nothing else: a pipe or a device in a file's place never ends, and a link may lead anywhere."""

import errno
import os
import stat
from pathlib import Path

from .systems import SYSTEM


def open_plain(path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
    """Return a descriptor of a plain file.

    Args:
        path: Where it is.
        flags: How to open it; a file that they make has the permissions that the umask leaves.
        follow: Whether ``path`` may be a symbolic link, as where one only reads.

    Raises:
        OSError: It is something else, or the system refused.
    """
    descriptor = SYSTEM.open(path, flags, follow=follow)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))
    return descriptor


def read_plain(path: Path, longest: int) -> bytes:
    """Return what is in a plain file.

    Raises:
        OSError: It is something else, is longer than it may be, or the system refused.
    """
    with os.fdopen(open_plain(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > longest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
        return file.read(longest)


def check_plain(directory: Path) -> None:
    """Check that a directory, which others will read, holds plain files and directories alone.

    Raises:
        OSError: It holds a pipe, a device, a link to a directory, or the system refused.
    """
    for parent, directories, files in os.walk(directory):
        for name in files:
            if not Path(parent, name).is_file():
                raise OSError(errno.EINVAL, "it is no plain file", os.fspath(Path(parent, name)))
        for name in directories:
            check_no_link(Path(parent, name))


def check_no_link(path: Path) -> None:
    """Check that a path is no symbolic link itself.

    Raises:
        OSError: It is one.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
