"""Locks on files and directories that end with the process that holds them."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import RunInUseError
from .plain import open_plain

_NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EBADF}
# A process that was stopped may hold a lock for as long as it likes: nobody waits for it longer than this.
_PATIENCE = 2.0


def flock(descriptor: int, operation: int) -> bool:
    """Lock an open file; return False where the file system has no locks.

    Raises:
        BlockingIOError: Another holds it, and the operation does not wait.
    """
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep others out that ask for the same directory, or file, which is made; for acts that take little time.

    Raises:
        RunInUseError: An OSError: another process has held it all the time.
    """
    if path.is_dir():
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    else:
        descriptor = open_plain(path, os.O_RDWR | os.O_CREAT, follow=False)  # over a network, writers alone lock files
    with held(descriptor, path):
        yield


@contextmanager
def held(descriptor: int, path: Path) -> Iterator[None]:
    """Hold the lock of an open file, or directory, which is closed at the block's end.

    Raises:
        RunInUseError: An OSError: another process has held it all the time.
    """
    try:
        _wait(descriptor, path)
        yield
    finally:
        with contextlib.suppress(OSError):
            flock(descriptor, fcntl.LOCK_UN)  # before it is closed, which may fail
        os.close(descriptor)


def _wait(descriptor: int, path: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise RunInUseError(
                    f"Another process has held {os.fspath(path)!r} for {_PATIENCE:g} s, to change what is there; "
                    "it may have been stopped. Wait until it has gone on, or end it."
                ) from None
            time.sleep(0.005)
        else:
            return
