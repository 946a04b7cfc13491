"""Files in the local file system, read and patched by offset from any thread.

They are not mapped into memory: with a mapping, a disk error or a truncated file kills the process; here it raises an
exception.
"""

import errno
import os
from pathlib import Path
from typing import Any

from .base import StoredFile
from .plain import open_plain
from .systems import SYSTEM


class LocalFile(StoredFile):
    """An open file of known length.

    Attributes:
        path: The path of the file.
        size: Its length in bytes when it was opened.
    """

    def __init__(self, path: Path, *, writable: bool = False, follow: bool = True) -> None:
        """Open the file.

        Args:
            path: The path of the file.
            writable: Whether to open it for writing, too.
            follow: Whether it may be a symbolic link.

        Raises:
            OSError: It does not exist, is not a regular file, or a system call failed.
        """
        self.path = os.fspath(path)
        self._descriptor = open_plain(path, os.O_RDWR if writable else os.O_RDONLY, follow=follow)
        self.size = os.fstat(self._descriptor).st_size

    def __enter__(self) -> "LocalFile":
        return self

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes that start at ``offset``. See :meth:`StoredFile.read_into`."""
        view = memoryview(buffer).cast("B")
        while view:
            count = SYSTEM.read_into(self._descriptor, view, offset)
            if not count:
                raise OSError(errno.EIO, "the file ends too early", self.path)
            view, offset = view[count:], offset + count

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``. See :meth:`StoredFile.read`."""
        content = bytearray(length)
        self.read_into(content, offset)
        return bytes(content)

    def lend(self, descriptor: int, offset: int, length: int) -> None:
        """Share a range of this file's blocks with another open file, at the same offset.

        Raises:
            OSError: A system call failed.
        """
        SYSTEM.share(descriptor, self._descriptor, offset, length)

    def write(self, content: bytes, offset: int) -> None:
        """Write ``content`` at ``offset``.

        Raises:
            OSError: A system call failed.
        """
        while content:
            count = SYSTEM.write(self._descriptor, content, offset)
            content, offset = content[count:], offset + count
