"""File systems of many kinds to save to, as far as they can be mounted here."""

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from scenarios.crash.disks import unmount

_SFTP_SERVER = "/usr/lib/openssh/sftp-server"


class CannotMountError(Exception):
    """A file system cannot be mounted here; the message says why."""


@contextmanager
def mounted(kind, where):
    """Yield the directory in which a file system of a kind is mounted, below the directory ``where``."""
    below, root = where / "below", where / "root"
    below.mkdir(exist_ok=True)
    root.mkdir()
    MOUNTS[kind](below, root)
    try:
        yield root
    finally:
        unmount(root)


def _tmpfs(below, root):
    _run("mount", "-t", "tmpfs", "tmpfs", root)


def _overlay(below, root):
    """Mount an overlay; a directory in its lower layer cannot be moved."""
    for name in ("lower", "upper", "work"):
        (below / name).mkdir(exist_ok=True)
    layers = ",".join(f"{name}dir={below / name}" for name in ("lower", "upper", "work"))
    _run("mount", "-t", "overlay", "overlay", "-o", layers, root)


def _image(make, size):
    def mount(below, root):
        with (below / "image").open("wb") as file:
            file.truncate(size)
        _run(*make, below / "image")
        _run("mount", "-o", "loop", below / "image", root)

    return mount


def mount_again(where):
    """Unmount a file system that has an image, and mount it again: the system has nothing of its files in memory."""
    unmount(where / "root")
    _run("mount", "-o", "loop", where / "below" / "image", where / "root")


def _bindfs(below, root):
    _run("bindfs", below, root)


def _sshfs(below, root):
    """Mount sshfs, with a server process at the other end of a pipe rather than of a network."""
    if not Path(_SFTP_SERVER).exists():
        raise CannotMountError(f"{_SFTP_SERVER} is not installed")
    (below / "files").mkdir()
    (below / "ssh").write_text(f"#!/bin/sh\nexec {_SFTP_SERVER}\n")
    (below / "ssh").chmod(0o755)
    _run("sshfs", "-o", f"ssh_command={below / 'ssh'}", f"nowhere:{below / 'files'}", root)


def _rclone(*options):
    def mount(below, root):
        (below / "files").mkdir()
        cache = ["--config", below / "none", "--cache-dir", below / "cache", *options]
        _run("rclone", "mount", f":local:{below / 'files'}", root, "--daemon", *cache)
        for _ in range(200):
            if root.is_mount():
                return
            time.sleep(0.05)
        raise CannotMountError("rclone has not mounted it")

    return mount


MOUNTS = {
    "tmpfs": _tmpfs,
    "overlay": _overlay,
    "btrfs": _image(["mkfs.btrfs", "-q"], 256 << 20),
    "XFS": _image(["mkfs.xfs", "-q"], 320 << 20),
    "bindfs": _bindfs,
    "sshfs": _sshfs,
    "rclone with a cache": _rclone("--vfs-cache-mode", "writes"),
}


def _run(*command):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotMountError(f"{command[0]} is not installed") from None
    if done.returncode:
        raise CannotMountError(f"{' '.join(command)}: {done.stderr.strip()}")
