"""Temporary directories for writers that need a path, and for nothing that is to last."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Give an empty directory that is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="lastgood-") as directory:
        yield Path(directory)
