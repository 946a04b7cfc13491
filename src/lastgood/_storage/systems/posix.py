"""Features of Unix-like systems."""

import fcntl
import os
from pathlib import Path
from typing import Any

from .base import System


class Posix(System):
    """Linux, macOS and other Unix-like systems."""

    def open(self, path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
        """Open a file. See :meth:`System.open`."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW), 0o666)

    def read_into(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read at an offset. See :meth:`System.read_into`."""
        return os.preadv(descriptor, [buffer], offset)

    def write(self, descriptor: int, content: Any, offset: int) -> int:
        """Write at an offset. See :meth:`System.write`."""
        return os.pwrite(descriptor, content, offset)

    def open_to_sync(self, path: Path) -> int:
        """Open a file to sync it, which need not be writable."""
        return self.open(path)

    def sync_directory(self, path: Path) -> None:
        """Sync a directory. See :meth:`System.sync_directory`."""
        descriptor = self.open(path, os.O_DIRECTORY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename. See :meth:`System.replace`."""
        source.replace(target)

    def open_to_lock(self, directory: Path) -> int:
        """Open the directory itself, so that no file is left in it."""
        return self.open(directory, os.O_DIRECTORY)

    def lock(self, descriptor: int) -> None:
        """Lock an open file. See :meth:`System.lock`."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self, descriptor: int) -> None:
        """Unlock an open file."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def lock_for_process(self, descriptor: int) -> None:
        """Lock an open file for this process alone; these locks work over a network, too."""
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
