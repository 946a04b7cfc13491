"""Temporary directories for writers that need a path; nothing in them lasts."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = "/dev/shm"  # writable even in a container with a read-only root


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Yield an empty directory that is removed when the block ends.

    Raises:
        OSError: No temporary directory is writable.
    """
    with tempfile.TemporaryDirectory(prefix="lastgood-", dir=_place()) as directory:
        yield Path(directory)


def _place() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        if os.access(_MEMORY, os.W_OK):
            return _MEMORY
        told = "No temporary directory is writable; set TMPDIR to one that is"
        raise OSError(errno.ENOENT, told) from error
