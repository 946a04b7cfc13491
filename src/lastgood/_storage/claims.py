"""Claims on the files of a template: whether another process trains into them.

Two signs end with the process, however it ends, and are not inherited by forked workers: a restart need not wait for
workers that outlive a killed parent. A name in the machine's memory (Linux) leaves nothing in the directory; containers
may share such names, and not their disks, so it says which directory of which disk is meant. A lock on a file (POSIX)
is seen over a network, too.
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

from .._errors import RunInUseError
from .base import NOTES, Claim
from .event_log import open_in_place
from .mounts import identity

_held: dict[str, "LocalClaim"] = {}
_guard = threading.Lock()
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class LocalClaim(Claim):
    """One template's files, claimed by this process until it releases them or ends."""

    def __init__(self, key: str, name: int | None, lock: int | None) -> None:
        """Keep what is held, as descriptors: Python would complain of a socket that only ends with the process."""
        self._key = key
        self._name = name
        self._lock = lock
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def take(cls, user: Any, directory: Path, template: str, *, leave_lock: bool) -> "LocalClaim":
        """Claim a template's files. See :meth:`Storage.claim`.

        Raises:
            RunInUseError: Another process has claimed them; the message says which.
        """
        key = f"{identity(directory)}\n{template}"
        with _guard:
            for abandoned in [each for each in _held.values() if not each._users]:
                abandoned._let_go()
            if key not in _held:  # a second descriptor would lose the lock when it is closed
                _held[key] = cls._new(key, directory, template, leave_lock=leave_lock)
            _held[key]._users.add(user)
            return _held[key]

    @classmethod
    def _new(cls, key: str, directory: Path, template: str, *, leave_lock: bool) -> "LocalClaim":
        name = _take_name(hashlib.sha256(os.fsencode(key)).hexdigest())
        if not leave_lock:
            return cls(key, name, None)
        try:
            return cls(key, name, _take_lock(directory / NOTES / f"training-{_short(template)}.lock"))
        except RunInUseError:
            if name is not None:
                os.close(name)
            raise

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


def _take_name(digest: str) -> int | None:
    """Take a name among the machine's sockets; return None where there are no such names.

    Raises:
        RunInUseError: Another process has it.
    """
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
        if owner:
            raise RunInUseError(owner) from error
        return None
    return name.detach()


def _owner(asking: socket.socket, address: str) -> str:
    """Return which process has a name, in words."""
    with contextlib.suppress(OSError):
        asking.settimeout(1)
        asking.connect(address)
        content = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process = _CREDENTIALS.unpack(content)[0]
        if process:  # 0 is one of another container
            return f"process {process} on this machine"
    return "another process on this machine"


def _take_lock(path: Path) -> int | None:
    """Lock a file; return None where there can be no locks.

    Raises:
        RunInUseError: Another process has locked it.
    """
    try:
        descriptor = open_in_place(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 200).decode(errors="replace")
        os.close(descriptor)
        if isinstance(error, BlockingIOError | PermissionError):
            raise RunInUseError(owner or "another process") from error
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


def _forget() -> None:
    """Leave the names to the parent, in a forked child; the locks are not a child's."""
    global _guard
    _guard = threading.Lock()
    for claim in _held.values():
        claim._close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
