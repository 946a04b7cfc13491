"""Files of the local file system, read and patched by offset, from any thread.

They are not mapped into memory: there an error of the disk, or a file that somebody cuts short, ends the process, where
here it is an exception.
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
        path: Where it is.
        size: Its length in bytes when it was opened.
    """

    def __init__(self, path: Path, *, writable: bool = False, follow: bool = True) -> None:
        """Open it.

        Args:
            path: Where it is.
            writable: Whether to write to it, too.
            follow: Whether it may be a symbolic link.

        Raises:
            OSError: It does not exist, is no plain file, or the system refused.
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
        """Fill ``buffer`` with the bytes from ``offset`` on. See :meth:`StoredFile.read_into`."""
        view = memoryview(buffer).cast("B")
        while view:
            count = SYSTEM.read_into(self._descriptor, view, offset)
            if not count:
                raise OSError(errno.EIO, "the file ends too early", self.path)
            view, offset = view[count:], offset + count

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from ``offset`` on. See :meth:`StoredFile.read`."""
        content = bytearray(length)
        self.read_into(content, offset)
        return bytes(content)

    def lend(self, descriptor: int, offset: int, length: int) -> None:
        """Have another open file refer to the blocks that this one has at a place.

        Raises:
            OSError: The system refused.
        """
        SYSTEM.share(descriptor, self._descriptor, offset, length)

    def write(self, content: bytes, offset: int) -> None:
        """Write ``content`` at ``offset``.

        Raises:
            OSError: The system refused.
        """
        while content:
            count = SYSTEM.write(self._descriptor, content, offset)
            content, offset = content[count:], offset + count
