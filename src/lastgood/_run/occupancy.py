"""Whether another process trains into the same files."""

import fcntl
import os
import socket
import threading
import zlib
from pathlib import Path

from .journal import DIRECTORY

_held: dict[Path, "Occupancy"] = {}
_guard = threading.Lock()


class Occupancy:
    """One template's files, taken by this process until it lets go or ends, however it ends.

    The lock is one of the process (POSIX): workers that a data loader forks do not have it, so a restart need not wait
    for the end of those that outlive a killed parent.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Keep the lock that is held."""
        self._path = path
        self._descriptor = descriptor
        self._users = 1

    @classmethod
    def take(cls, directory: Path, template: str) -> "Occupancy | str | None":
        """Take a template's files.

        Args:
            directory: The run's directory.
            template: The template, below it.

        Returns:
            The occupancy; who has it, in words, if another process does; None where there can be no locks.
        """
        path = (directory / DIRECTORY / f"training-{zlib.crc32(template.encode()):08x}.lock").absolute()
        with _guard:
            if path in _held:  # a second descriptor would lose the lock when it is closed
                _held[path]._users += 1
                return _held[path]
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError:
                return None
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(descriptor, 200).decode(errors="replace")
                os.close(descriptor)
                return (owner or "another process") if isinstance(error, BlockingIOError | PermissionError) else None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            _held[path] = cls(path, descriptor)
            return _held[path]

    def release(self) -> None:
        """Let go, if nobody else in this process has it."""
        with _guard:
            self._users -= 1
            if self._users == 0:
                del _held[self._path]
                os.close(self._descriptor)
