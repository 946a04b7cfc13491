"""Whether another process trains into the same files.

Two signs, both of which end with the process, however it ends, and which forked workers do not have: a restart need not
wait for the end of those that outlive a killed parent. A name in the machine's memory (Linux) leaves nothing in the
directory; a lock on a file (POSIX) is seen over a network, too.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import struct
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

from .journal import DIRECTORY, open_in_place

_held: dict[str, "Occupancy"] = {}
_guard = threading.Lock()
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class Occupancy:
    """One template's files, taken by this process until it lets go or ends."""

    def __init__(self, key: str, name: int | None, lock: int | None) -> None:
        """Keep what is held, as descriptors: Python would complain of a socket that only ends with the process."""
        self._key = key
        self._name = name
        self._lock = lock
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def take(cls, user: Any, directory: Path, template: str, *, lock: bool) -> "Occupancy | str":
        """Take a template's files.

        Args:
            user: Who takes them. One that is forgotten, as when an exception ended its training, has let go of them.
            directory: The run's directory; it need not exist.
            template: The template, below it.
            lock: Whether to leave a lock in the directory, for processes on other machines.

        Returns:
            The occupancy, or who has it, in words, if another process does.
        """
        key = f"{os.path.realpath(directory)}\n{template}"
        with _guard:
            for abandoned in [each for each in _held.values() if not each._users]:
                abandoned._let_go()
            if key in _held:  # a second descriptor would lose the lock when it is closed
                _held[key]._users.add(user)
                return _held[key]
            digest = hashlib.sha256(key.encode()).hexdigest()
            name = _take_name(digest)
            if isinstance(name, str):
                return name
            held = _take_lock(directory / DIRECTORY / f"training-{_short(template)}.lock") if lock else None
            if isinstance(held, str):
                if name is not None:
                    os.close(name)
                return held
            _held[key] = cls(key, name, held)
            _held[key]._users.add(user)
            return _held[key]

    def release(self, user: Any) -> None:
        """Let go, if nobody else in this process has it."""
        with _guard:
            self._users.discard(user)
            if not self._users:
                self._let_go()

    def _let_go(self) -> None:
        if _held.get(self._key) is not self:  # let go already, or the parent's, in a forked child
            return
        del _held[self._key]
        self._close()
        if self._lock is not None:
            os.close(self._lock)

    def _close(self) -> None:
        if self._name is not None:
            os.close(self._name)


def _short(template: str) -> str:
    return hashlib.sha256(template.encode()).hexdigest()[:8]


def _take_name(digest: str) -> int | str | None:
    """Take a name among the machine's sockets; return who has it, or None where there are no such names."""
    if sys.platform != "linux":
        return None
    address = f"\0lastgood-{digest}"
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(address)
        name.listen(8)
    except OSError as error:
        owner = _owner(name, address) if error.errno == errno.EADDRINUSE else None
        name.close()
        return owner
    return name.detach()


def _owner(asking: socket.socket, address: str) -> str:
    """Return which process has a name, in words."""
    with contextlib.suppress(OSError):
        asking.settimeout(1)
        asking.connect(address)
        content = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return f"process {_CREDENTIALS.unpack(content)[0]} on this machine"
    return "another process on this machine"


def _take_lock(path: Path) -> int | str | None:
    """Lock a file; return who has it, in words, or None where there can be no locks."""
    try:
        descriptor = open_in_place(path, os.O_RDWR | os.O_CREAT)
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
    return descriptor


def _forget() -> None:
    """Leave the names to the parent, in a forked child; the locks are not a child's."""
    global _guard
    _guard = threading.Lock()
    for occupancy in _held.values():
        occupancy._close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
