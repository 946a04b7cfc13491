"""The file system of a directory, and the path in it: one path may mean different disks in two containers."""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNT = re.compile(r"^mnt_id:\s*(\d+)$", re.MULTILINE)


class Mount(NamedTuple):
    """A mounted file system, or a mounted directory of one.

    Attributes:
        device: The kernel's number for the file system, such as ``"8:1"``; the same in all containers.
        root: The directory of the file system that is mounted.
        point: The mount point, as this process sees it.
        type: The type of file system, such as ``"ext4"`` or ``"fuse.sshfs"``.
    """

    device: str
    root: str
    point: str
    type: str


def mount_of(directory: Path) -> Mount | None:
    """Return the mount of an existing directory; None if the system does not say, as outside Linux.

    The mount with the longest matching path may be hidden by another, so the kernel is asked which one it is.
    """
    with contextlib.suppress(OSError, AttributeError, ValueError):
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _MOUNT.search(_read(f"/proc/self/fdinfo/{descriptor}"))
        finally:
            os.close(descriptor)
        lines = (line.split(" ") for line in _read("/proc/self/mountinfo").splitlines()) if found else ()
        for number, _, device, root, point, *rest in lines:
            if found and number == found[1]:
                return Mount(device, _plain(root), _plain(point), rest[rest.index("-") + 1])
    return None


def existing(directory: Path) -> Path:
    """Return ``directory``, or its nearest existing parent.

    Raises:
        OSError: A file is in the way, or no parent exists.
    """
    for path in (directory, *directory.absolute().parents):
        try:  # one call: between two, another process may create the directory
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if not path.is_symlink():
                continue
            is_directory = False  # a link whose target is missing
        if is_directory:
            return path
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(directory))


def identity(directory: Path) -> str:
    """Return a name that is equal for two processes on a machine if, and only if, they mean the same directory.

    The directory need not exist. The name consists of the file system and the path in it, since containers may have
    different disks, or different directories of one disk, at the same path, and one directory at different paths.
    """
    real = Path(os.path.realpath(directory))
    mount = None
    with contextlib.suppress(OSError):
        mount = mount_of(existing(real))
    if mount is None or not real.is_relative_to(mount.point):
        return os.fspath(real)
    return f"{mount.device}:{PurePosixPath(mount.root, real.relative_to(mount.point))}"


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def _plain(text: str) -> str:
    """Decode the octal escapes that the kernel writes for spaces and the like in a path."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
