"""Claims on the files of a template: they show whether another process trains into them.

A claim is a machine-wide name and, if wanted, a lock. Both end with the process, however it ends, and forked workers do
not inherit them, so a restart need not wait for workers that outlive a killed parent. The name leaves nothing in the
directory. Containers may share such names but not disks, so it says which directory of which disk is meant. On Linux it
is in memory, elsewhere a locked temporary file. The lock is on a file in the directory, and works over a network, too.
"""

import hashlib
import os
import socket
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from .._errors import RunInUseError
from .._threads import in_forked_children
from .base import NOTES, Claim
from .event_log import open_in_place
from .mounts import identity
from .systems import SYSTEM

_held: dict[str, "LocalClaim"] = {}
_guard = threading.Lock()


class LocalClaim(Claim):
    """One template's files, claimed by this process until it releases them or ends."""

    def __init__(self, key: str, name: int | None, lock: int | None) -> None:
        """Keep the name and the lock as descriptors: Python would warn about a socket that is never closed."""
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
        key = key.casefold() if SYSTEM.folds_case else key
        with _guard:
            for abandoned in [each for each in _held.values() if not each._users]:
                abandoned._let_go()
            if key not in _held:  # closing a second descriptor would release the lock
                _held[key] = cls._new(key, directory, template, leave_lock=leave_lock)
            _held[key]._users.add(user)
            return _held[key]

    @classmethod
    def _new(cls, key: str, directory: Path, template: str, *, leave_lock: bool) -> "LocalClaim":
        name = _take_name(f"lastgood-{hashlib.sha256(os.fsencode(key)).hexdigest()}")
        if not leave_lock:
            return cls(key, name, None)
        try:
            return cls(key, name, _take_lock(directory / NOTES / f"training-{_short(template)}.lock"))
        except RunInUseError:
            if name is not None:
                os.close(name)
            raise

    def release(self, user: Any) -> None:
        """Release the claim, unless another user in this process holds it too."""
        with _guard:
            self._users.discard(user)
            if not self._users:
                self._let_go()

    def _let_go(self) -> None:
        if _held.get(self._key) is not self:  # already released, or in a forked child the parent's
            return
        del _held[self._key]
        self._close_name()
        if self._lock is not None:
            os.close(self._lock)

    def _close_name(self) -> None:
        if self._name is not None:
            os.close(self._name)


def _short(template: str) -> str:
    return hashlib.sha256(template.encode()).hexdigest()[:8]


def _take_name(name: str) -> int | None:
    """Take a machine-wide name; return None if that is not possible.

    Raises:
        RunInUseError: Another process has it.
    """
    if not SYSTEM.has_names:
        user = os.getuid() if hasattr(os, "getuid") else "claims"  # one directory per user, since all share /tmp
        try:
            shared = tempfile.gettempdir()
        except FileNotFoundError:
            return None
        return _take_lock(Path(shared, f"lastgood-{user}", f"{name}.lock"))
    try:
        return SYSTEM.take_name(name)
    except BlockingIOError as error:
        raise RunInUseError(error.strerror) from error


def _take_lock(path: Path) -> int | None:
    """Lock a file; return None if it cannot be opened or locked.

    Raises:
        RunInUseError: Another process has locked it.
    """
    try:
        descriptor = open_in_place(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        return None
    try:
        SYSTEM.lock_for_process(descriptor)
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
    """Drop all claims in a forked child: the names are the parent's, and locks are not inherited."""
    global _guard
    _guard = threading.Lock()
    for claim in _held.values():
        claim._close_name()
    _held.clear()


in_forked_children(_forget)
