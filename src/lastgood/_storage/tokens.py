"""What a save calls its temporary files, and whose they are: a live process's, or a dead one's that can go.

While a save runs it holds the lock of a hidden sibling of its target. So the next start can tell the leftovers of a
dead process (nobody holds the lock) from the work of a live one, on whatever host it runs:

    .lastgood-tmp-<token>.lock     locked while the save lives; holds the target's name
    .lastgood-tmp-<token>.keras    the checkpoint being written
    .lastgood-tmp-<token>.old      a directory that is being replaced, where two names cannot be swapped in one act
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

# Where a file system has no locks, a leftover is taken for dead after so long without a write.
_ABANDONED_SECONDS = 24 * 3600.0


@contextmanager
def taken(target: Path) -> Iterator[Path]:
    """Hold a new lock beside ``target``; give the path that this save's temporary names begin with."""
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
    """Lock a file; return False if another process has taken it for a dead one's before it was locked."""
    try:
        locks.lock(descriptor)
    except BlockingIOError:
        return False
    return os.path.lexists(lock)  # some file systems count no links, and say 0


def reclaim(stem: Path, names: list[str]) -> list[Path]:
    """Remove one dead save's files.

    Args:
        stem: What its names begin with.
        names: All names in the directory that are of saves.

    Returns:
        The files; none if the save is alive.
    """
    lock = _lock_of(stem)
    own = (stem.name, *(name for name in names if name.startswith(f"{stem.name}.") and name != lock.name))
    mine = [stem.with_name(name) for name in own if name in names]
    try:
        descriptor = open_plain(lock, os.O_RDWR, follow=False)
    except FileNotFoundError:  # the lock is made first and removed last, so what lies here without one is dead
        return _removed(mine)
    except OSError:  # a link, a pipe or a directory of its name: none of them is of a save
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
    """Tell whether the process that made this lock is gone; if so, the lock is held here from now on."""
    try:
        locked = locks.lock(descriptor)
    except BlockingIOError:
        return False
    return locked or time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_SECONDS
