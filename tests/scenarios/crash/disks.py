"""File systems to save to: ordinary ones, small ones to fill, and ones whose power can be cut."""

import fcntl
import os
import secrets
import shutil
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
# How each is made and mounted.
POWER = {
    "ext4": (["mkfs.ext4", "-q"], []),
    "ext4 noauto_da_alloc": (["mkfs.ext4", "-q"], ["noauto_da_alloc"]),
    "XFS": (["mkfs.xfs", "-q"], []),
}


class Disk:
    """A file system.

    Attributes:
        root: Where it is mounted.
    """

    def __init__(self, root):
        self.root = Path(root)

    def fresh(self):
        """Return a new directory."""
        path = self.root / secrets.token_hex(4)
        path.mkdir()
        return path

    def discard(self, directory):
        """Remove a directory that is no longer needed."""
        shutil.rmtree(directory, ignore_errors=True)


class PowerDisk(Disk):
    """A disk whose power can be cut: what was not synced is lost then, as far as the file system loses it."""

    def __init__(self, root, image, options):
        super().__init__(root)
        self._image, self._options = image, options
        self._mount()

    def _mount(self):
        _run("mount", "-o", ",".join(["loop", *self._options]), self._image, self.root)

    def fresh(self):
        """Return a new directory that will survive a cut."""
        path = super().fresh()
        os.sync()
        return path

    def cut(self):
        """Cut the power, and switch it on again."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        unmount(self.root)
        self._mount()


@contextmanager
def power_disk(kind, where):
    """Yield a disk of one of the kinds in :data:`POWER`, made in the directory ``where``."""
    make, options = POWER[kind]
    image, root = where / f"{secrets.token_hex(4)}.img", where / secrets.token_hex(4)
    with image.open("wb") as file:
        file.truncate(320 * 2**20)  # XFS takes no less than 300 MB
    _run(*make, image)
    root.mkdir()
    disk = PowerDisk(root, image, options)
    try:
        yield disk
    finally:
        unmount(root)
        root.rmdir()
        image.unlink()


@contextmanager
def small_disk(where, size="64m", inodes=0):
    """Yield a disk in memory with the given number of bytes and files; 0 means no limit."""
    root = where / secrets.token_hex(4)
    root.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}" + (f",nr_inodes={inodes}" if inodes else ""), "tmpfs", root)
    try:
        yield Disk(root)
    finally:
        unmount(root)


def unmount(root):
    """Unmount a file system, which may be busy for a moment."""
    for _ in range(200):
        if subprocess.run(["umount", root], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.02)
    _run("umount", root)


def _run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
