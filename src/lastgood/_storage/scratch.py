"""Temporary directories for writers that need a path, and for nothing that is to last."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = "/dev/shm"  # what a container whose root is read-only can still be written to


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Give an empty directory that is removed when the block ends.

    Raises:
        OSError: No temporary directory can be written to.
    """
    with tempfile.TemporaryDirectory(prefix="lastgood-", dir=_place()) as directory:
        yield Path(directory)


def _place() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        if os.access(_MEMORY, os.W_OK):
            return _MEMORY
        told = "No temporary directory can be written to; set TMPDIR to a directory that can"
        raise OSError(errno.ENOENT, told) from error
