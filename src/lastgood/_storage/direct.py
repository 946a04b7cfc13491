"""Writes that bypass the page cache, from page-aligned memory to a file, if the file system allows it.

Buffered writes of gigabytes occupy a core with copying into the page cache, and the kernel then throttles the writer.
Direct writes take almost no CPU. Some file systems refuse them (some network mounts, and tmpfs before Linux 6.6);
writes are buffered there.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .._threads import Beside
from .base import BLOCK, Extent, Image, Passed, Report, Span, WaitFor
from .sharing import Sharing
from .systems import SYSTEM, UNSUPPORTED
from .systems.base import unless

_CHUNK = 16 * 1024 * 1024

Share = Callable[[int], AbstractContextManager[Sharing | None]]
"""Takes the descriptor of a new file, and yields what shares blocks with an earlier one."""


def alone(descriptor: int) -> AbstractContextManager[None]:
    """Share nothing."""
    del descriptor
    return nullcontext()


def _is_there(stop: int) -> None:
    """Return at once: all bytes are there."""
    del stop


def write_file(path: Path, image: Image, report: Report, share: Share = alone) -> int:
    """Write a file from memory; return how many of its bytes were shared instead of written.

    Args:
        path: A path at which nothing exists yet.
        image: The file.
        report: Called with the number of bytes written.
        share: Yields what shares blocks with an earlier file.

    Raises:
        OSError: The storage failed.
    """
    start, stop = image.body
    if stop <= _CHUNK:  # too small to be worth a thread
        image.wait_for(stop)
        length, _ = image.seal()
        with _opened(path, image, share) as file:
            file.allocate(length)
            file.write(0, length, report)
            file.truncate(length)
            return file.shared

    def seal_all() -> tuple[int, list[Extent]]:
        image.wait_for(stop)
        return image.seal()

    sealing = Beside(seal_all, "lastgood-digests")
    windowed = image.passed is not None  # what is written leaves memory, and an earlier file cannot be compared with it
    try:
        if not windowed:
            sealing.start()
        with _opened(path, image, alone if windowed else share) as file:
            file.allocate(stop)
            file.write(start, stop, report, image.wait_for, image.passed or _is_there)
            length, extents = seal_all() if windowed else sealing.result()
            for offset, size in extents:
                file.write(offset, min(offset + size, length), report)
            file.truncate(length)
            return file.shared
    finally:
        if not windowed:
            sealing.wait()  # the next save reuses the memory as soon as this returns


def whole_blocks(size: int) -> int:
    """Return ``size`` rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


@contextmanager
def _opened(path: Path, image: Image, share: Share) -> Iterator["_File"]:
    descriptor = SYSTEM.open_direct(path)
    try:
        with share(descriptor) as sharing:
            yield _File(descriptor, image.memory, sharing)
    finally:
        os.close(descriptor)


class _File:
    """A new file that is written in blocks from memory, with direct writes if possible."""

    def __init__(self, descriptor: int, memory: npt.NDArray[np.uint8], sharing: Sharing | None) -> None:
        self._descriptor = descriptor
        self._memory = memory
        self._sharing = sharing
        self._written = 0

    @property
    def shared(self) -> int:
        return self._sharing.shared if self._sharing else 0

    def allocate(self, size: int) -> None:
        """Reserve space, so that a full disk is reported before writing rather than during it.

        Do not reserve any if the file may share most of its blocks: it must not need room for all of them.
        """
        if self._sharing and self._sharing.has_source:
            return
        with unless(UNSUPPORTED | {errno.EPERM}):
            SYSTEM.reserve(self._descriptor, size)

    def write(
        self,
        start: int,
        stop: int,
        report: Report,
        wait_for: WaitFor = _is_there,
        passed: Passed = _is_there,
    ) -> None:
        """Write the blocks that hold the bytes from ``start`` to ``stop``, except those that can be shared."""
        at, end = start // BLOCK * BLOCK, whole_blocks(stop)
        while at < end:
            until = min((at // _CHUNK + 1) * _CHUNK, end)  # so that no shared span crosses a chunk boundary
            wait_for(min(until, stop))
            for lacking in self._sharing.lacking(at, until) if self._sharing else (Span(at, until),):
                self._put_all(*lacking)
            self._written += until - at
            report(self._written)
            at = until
            passed(min(at, stop))

    def _put_all(self, at: int, stop: int) -> None:
        while at < stop:
            at += self._put(self._memory[at:stop].data, at)

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
