"""A file whose bytes lie in memory."""

import errno
from typing import Any

from .base import StoredFile


class MemoryFile(StoredFile):
    """Bytes, read as a file is.

    Attributes:
        path: Where it is said to be.
        size: Its length in bytes.
    """

    def __init__(self, path: str, content: bytes | memoryview) -> None:
        """Take the bytes; they are not copied."""
        self.path = path
        self.size = len(content)
        self._content = memoryview(content)

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes from ``offset`` on. See :meth:`StoredFile.read_into`."""
        view = memoryview(buffer).cast("B")
        if offset + len(view) > self.size:
            raise OSError(errno.EIO, "the file ends too early", self.path)
        view[:] = self._content[offset : offset + len(view)]

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
