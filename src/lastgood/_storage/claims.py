"""Claims on the files of a template: whether another process trains into them.

Two signs end with the process, however it ends, and are not inherited by forked workers: a restart need not wait for
workers that outlive a killed parent. A name that is the machine's leaves nothing in the directory; containers may share
such names, and not their disks, so it says which directory of which disk is meant. On Linux it is in memory, elsewhere
a locked file among the temporary ones. A lock on a file in the directory is seen over a network, too.
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
        key = key.casefold() if SYSTEM.folds_case else key
        with _guard:
            for abandoned in [each for each in _held.values() if not each._users]:
                abandoned._let_go()
            if key not in _held:  # a second descriptor would lose the lock when it is closed
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
        """Let go, if nobody else in this process has it."""
        with _guard:
            self._users.discard(user)
            if not self._users:
                self._let_go()

    def _let_go(self) -> None:
        if _held.get(self._key) is not self:  # let go already, or the parent's, in a forked child
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
    """Take a name that is the machine's; return None where there can be none.

    Raises:
        RunInUseError: Another process has it.
    """
    if not SYSTEM.has_names:
        user = os.getuid() if hasattr(os, "getuid") else "claims"  # one directory each, where all share /tmp
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
    """Lock a file; return None where there can be no locks.

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
    """Leave the names to the parent, in a forked child; the locks are not a child's."""
    global _guard
    _guard = threading.Lock()
    for claim in _held.values():
        claim._close_name()
    _held.clear()


in_forked_children(_forget)
