"""The names of a save's temporary files, and the lock that shows whether its process is still alive.

A running save holds the lock of a hidden file next to its target. So the next start can tell the leftovers of a dead
process (nobody holds the lock) from the work of a live one, whatever host it runs on:

    .lastgood-tmp-<token>.lock     locked while the save runs; contains the target's name
    .lastgood-tmp-<token>.keras    the checkpoint being written
    .lastgood-tmp-<token>.old      a directory that is being replaced, if two names cannot be swapped atomically
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import groups, locks, placing
from .base import TEMPORARY_PREFIX
from .plain import open_plain
from .systems import SYSTEM

# If a file system has no locks, a leftover counts as dead after this long without a write.
_ABANDONED_SECONDS = 24 * 3600.0


@contextmanager
def taken(target: Path) -> Iterator[Path]:
    """Hold a new lock next to ``target``; yield the path that this save's temporary names begin with."""
    while True:
        stem = target.with_name(TEMPORARY_PREFIX + secrets.token_hex(8))
        lock = _lock_of(stem)
        descriptor = SYSTEM.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            if _is_locked(descriptor, lock):
                os.write(descriptor, os.fsencode(target.name))
                yield stem
                return
        finally:
            SYSTEM.close_and_remove(descriptor, lock)


def _is_locked(descriptor: int, lock: Path) -> bool:
    """Lock a new file; return False if another process mistook it for a leftover before it was locked."""
    try:
        locks.lock(descriptor)
    except BlockingIOError:
        return False
    return os.path.lexists(lock)  # not st_nlink, which is always 0 on some file systems


def reclaim(stem: Path, names: list[str]) -> list[Path]:
    """Remove the files of one save if its process is dead.

    Args:
        stem: The path that the save's temporary names begin with.
        names: The temporary names of all saves in the directory.

    Returns:
        The files removed; none if the process is alive.
    """
    lock = _lock_of(stem)
    own = (stem.name, *(name for name in names if name.startswith(f"{stem.name}.") and name != lock.name))
    mine = [stem.with_name(name) for name in own if name in names]
    try:
        descriptor = open_plain(lock, os.O_RDWR, follow=False)
    except FileNotFoundError:  # the lock is created first and removed last, so files without one are dead
        return _removed(mine)
    except OSError:  # a link, pipe or directory of this name, which no save creates
        return []
    if not _is_dead(descriptor) or not placing.restore_replaced(stem, os.fsdecode(os.read(descriptor, 4096))):
        os.close(descriptor)
        return []
    try:
        return _removed(mine)
    finally:
        SYSTEM.close_and_remove(descriptor, lock)


def _removed(paths: list[Path]) -> list[Path]:
    for path in paths:
        groups.remove_any(path)
    return paths


def _lock_of(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.lock")


def _is_dead(descriptor: int) -> bool:
    """Return whether the process that created this lock is dead; if so, this process now holds the lock."""
    try:
        locked = locks.lock(descriptor)
    except BlockingIOError:
        return False
    return locked or time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_SECONDS
