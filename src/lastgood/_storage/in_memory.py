"""Files that are not opened anew: one whose bytes lie in memory, and one that another has open."""

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

    def part(self, offset: int, length: int) -> memoryview:
        """Return a part, which is not copied. See :meth:`StoredFile.part`."""
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Again(StoredFile):
    """A file that is open already, to be read once more; closing it leaves the other open.

    Attributes:
        path: Where it is.
        size: Its length in bytes.
    """

    def __init__(self, file: StoredFile) -> None:
        """Take the file."""
        self.path, self.size = file.path, file.size
        self._file = file

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes from ``offset`` on. See :meth:`StoredFile.read_into`."""
        self._file.read_into(buffer, offset)

    def close(self) -> None:
        """Leave it open."""
