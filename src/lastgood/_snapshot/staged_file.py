"""A file in the staging buffer, for writers that require a file.

HDF5 is such a writer, and cannot be trusted with a disk: it delays small writes until a dataset is closed, where h5py
cannot raise. A disk error then leaves zeros in a file that seems complete, or ends the process. Memory has no such
errors.
"""

import io
from typing import Any

import numpy as np

from . import staging


class StagedFile(io.RawIOBase):
    """An empty file that grows as it is written, in the one staging buffer of the process."""

    def __init__(self, size: int) -> None:
        """Take the buffer.

        Args:
            size: The expected size in bytes; the file may grow larger.
        """
        self._memory = staging.shared(size)
        self._length = 0
        self._at = 0

    @property
    def length(self) -> int:
        """The size in bytes."""
        return self._length

    @property
    def memory(self) -> staging.Memory:
        """The staging buffer, which begins with the file."""
        return self._memory

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = np.frombuffer(buffer, np.uint8)
        count = max(0, min(len(view), self._length - self._at))
        view[:count] = self._memory[self._at : self._at + count]
        self._at += count
        return count

    def write(self, content: Any) -> int:
        view = np.frombuffer(content, np.uint8)
        self._reach(self._at + len(view))
        self._memory[self._at : self._at + len(view)] = view
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        self._reach(size)
        self._length = size
        return size

    def _reach(self, stop: int) -> None:
        """Extend the file to at least ``stop`` bytes, with zeros where nothing was written."""
        if stop > len(self._memory):
            self._memory = staging.grown(self._memory, max(stop, len(self._memory) * 5 // 4))
        if stop > self._length:
            self._memory[self._length : stop] = 0
            self._length = stop
