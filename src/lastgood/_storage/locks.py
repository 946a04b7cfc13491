"""Locks on files and directories that end with the process that holds them."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import RunInUseError
from .systems import SYSTEM

_NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EBADF}
# A stopped process may hold a lock forever: others wait for it no longer than this.
_PATIENCE = 2.0


def lock(descriptor: int) -> bool:
    """Lock an open file; return False if the file system has no locks.

    Raises:
        BlockingIOError: The lock is already held.
    """
    try:
        SYSTEM.lock(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory during the block, which must be short.

    Raises:
        RunInUseError: Another process held it for too long; this is an OSError.
    """
    descriptor = SYSTEM.open_to_lock(directory)
    try:
        with _held(descriptor, directory):
            yield
    finally:
        SYSTEM.close_lock(descriptor, directory)


@contextmanager
def held(descriptor: int, path: Path) -> Iterator[None]:
    """Hold the lock of an open file, which is closed when the block ends.

    Raises:
        RunInUseError: Another process held it for too long; this is an OSError.
    """
    try:
        with _held(descriptor, path):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _held(descriptor: int, path: Path) -> Iterator[None]:
    _wait(descriptor, path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            SYSTEM.unlock(descriptor)  # before closing, which may fail


def _wait(descriptor: int, path: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock(descriptor)
        except BlockingIOError:
            if time.monotonic() > end:
                raise RunInUseError(
                    f"Another process has held {os.fspath(path)!r} for {_PATIENCE:g} s to change what is there; "
                    "it may have been stopped. Wait until it continues, or end it."
                ) from None
            time.sleep(0.005)
        else:
            return
