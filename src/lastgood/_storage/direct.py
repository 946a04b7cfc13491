"""Bytes from page-aligned memory to a file, past the page cache where the file system lets them.

Buffered writes of gigabytes take a core to copy into the page cache, and the kernel then throttles who wrote them.
Direct writes take almost no CPU. Some file systems refuse them (tmpfs, some network mounts): there they are buffered.
"""

import errno
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .._threads import Beside
from .base import Extent, Image, Report, WaitFor
from .systems import SYSTEM, UNSUPPORTED
from .systems.base import unless

BLOCK = 4096
_CHUNK = 16 * 1024 * 1024


def _is_there(stop: int) -> None:
    """Wait for nothing."""
    del stop


def write_file(path: Path, image: Image, report: Report) -> None:
    """Write a file that lies in memory.

    Args:
        path: Where nothing is yet.
        image: The file.
        report: Called with the number of bytes written.

    Raises:
        OSError: The storage refused.
    """
    start, stop = image.body
    if stop <= _CHUNK:  # too little to be worth a thread
        image.wait_for(stop)
        length, _ = image.seal()
        with _File(path, image.memory) as file:
            file.allocate(length)
            file.write(0, length, report)
            file.truncate(length)
        return

    def seal_all() -> tuple[int, list[Extent]]:
        image.wait_for(stop)
        return image.seal()

    sealing = Beside(seal_all, "lastgood-digests")
    try:
        sealing.start()
        with _File(path, image.memory) as file:
            file.allocate(stop)
            file.write(start, stop, report, image.wait_for)
            length, extents = sealing.result()
            for offset, size in extents:
                file.write(offset, min(offset + size, length), report)
            file.truncate(length)
    finally:
        sealing.wait()  # the memory is the next save's as soon as this returns


def whole_blocks(size: int) -> int:
    """Return the length of the blocks that hold so many bytes."""
    return -(-size // BLOCK) * BLOCK


class _File:
    """A new file that is written in blocks from memory, directly if it can be."""

    def __init__(self, path: Path, memory: npt.NDArray[np.uint8]) -> None:
        self._memory = memory
        self._written = 0
        self._descriptor = SYSTEM.open_direct(path)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def allocate(self, size: int) -> None:
        """Reserve space, so that a full disk says so before the writing rather than during it."""
        with unless(UNSUPPORTED | {errno.EPERM}):
            SYSTEM.reserve(self._descriptor, size)

    def write(
        self,
        start: int,
        stop: int,
        report: Report,
        wait_for: WaitFor = _is_there,
    ) -> None:
        """Write the blocks that hold the bytes from ``start`` to ``stop``."""
        at, end = start // BLOCK * BLOCK, whole_blocks(stop)
        while at < end:
            wait_for(min(at + _CHUNK, stop))
            count = self._put(self._memory[at : min(at + _CHUNK, end)].data, at)
            at += count
            self._written += count
            report(self._written)

    def _put(self, content: memoryview, offset: int) -> int:
        try:
            return SYSTEM.write(self._descriptor, content, offset)
        except OSError as error:
            # Some file systems open a file for direct writes, and then refuse them.
            if error.errno not in UNSUPPORTED or not SYSTEM.make_buffered(self._descriptor):
                raise
            return SYSTEM.write(self._descriptor, content, offset)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)
