"""Bytes of a file by their offset, from any thread.

Not by a mapping of the file into memory: there an error of the disk, or a file that somebody cuts short, is the death
of the process, where here it is an exception.
"""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .plain import open_plain

_CHUNK = 1024 * 1024


class PositionedFile:
    """An open file of a known length.

    Attributes:
        path: Where it is.
        size: Its length in bytes, when it was opened.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open it.

        Raises:
            OSError: It is not there, or no file, or the system refused.
        """
        self.path = path
        self._descriptor = open_plain(path, os.O_RDWR if writable else os.O_RDONLY)
        self.size = os.fstat(self._descriptor).st_size

    def __enter__(self) -> "PositionedFile":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer``, whatever contiguous memory it is, with the bytes from ``offset`` on.

        Raises:
            OSError: The file ends before, or the system refused.
        """
        view = memoryview(buffer).cast("B")
        while view:
            count = os.preadv(self._descriptor, [view], offset)
            if not count:
                raise OSError(errno.EIO, "the file ends too early", os.fspath(self.path))
            view, offset = view[count:], offset + count

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from ``offset`` on.

        Raises:
            OSError: The file ends before, or the system refused.
        """
        parts = []
        while length:
            parts.append(os.pread(self._descriptor, length, offset))
            if not parts[-1]:
                raise OSError(errno.EIO, "the file ends too early", os.fspath(self.path))
            length, offset = length - len(parts[-1]), offset + len(parts[-1])
        return b"".join(parts)  # which copies nothing where there is one

    def parts(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield the bytes from ``start`` to ``stop`` in parts, each valid until the next.

        Raises:
            OSError: The file ends before, or the system refused.
        """
        buffer = memoryview(bytearray(min(_CHUNK, stop - start)))
        for at in range(start, stop, _CHUNK):
            part = buffer[: stop - at]
            self.read_into(part, at)
            yield part

    def write(self, content: bytes, offset: int) -> None:
        """Write ``content`` at ``offset``.

        Raises:
            OSError: The system refused.
        """
        while content:
            count = os.pwrite(self._descriptor, content, offset)
            content, offset = content[count:], offset + count

    def window(self, start: int, size: int) -> io.BufferedReader:
        """Return a part of the file as a file, for readers that want one."""
        return io.BufferedReader(self.raw_window(start, size))

    def raw_window(self, start: int, size: int) -> io.RawIOBase:
        """Return a part of the file as a file that keeps nothing of what was read."""
        return _Window(self, start, size)


class _Window(io.RawIOBase):
    def __init__(self, file: PositionedFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"there is nothing at {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.read_into(view, self._start + self._at)
        self._at += len(view)
        return len(view)
