"""Stored files that need no opening: bytes in memory, and a file that is already open."""

import errno
from typing import Any

from .base import StoredFile


class MemoryFile(StoredFile):
    """Bytes in memory that are read like a file.

    Attributes:
        path: The path to report in errors.
        size: Its length in bytes.
    """

    def __init__(self, path: str, content: bytes | memoryview) -> None:
        """Wrap the bytes without copying them."""
        self.path = path
        self.size = len(content)
        self._content = memoryview(content)

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes that start at ``offset``. See :meth:`StoredFile.read_into`."""
        view = memoryview(buffer).cast("B")
        if offset + len(view) > self.size:
            raise OSError(errno.EIO, "the file ends too early", self.path)
        view[:] = self._content[offset : offset + len(view)]

    def part(self, offset: int, length: int) -> memoryview:
        """Return a part without copying it. See :meth:`StoredFile.part`."""
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Again(StoredFile):
    """A second reader of a file that is already open; closing it leaves the file open.

    Attributes:
        path: The path of the file.
        size: Its length in bytes.
    """

    def __init__(self, file: StoredFile) -> None:
        """Wrap the open file."""
        self.path, self.size = file.path, file.size
        self._file = file

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes that start at ``offset``. See :meth:`StoredFile.read_into`."""
        self._file.read_into(buffer, offset)

    def close(self) -> None:
        """Leave the file open."""
