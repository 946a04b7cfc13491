"""Bytes from page-aligned memory to a file, past the page cache where the file system lets them.

Buffered writes of gigabytes take a core to copy into the page cache, and the kernel then throttles who wrote them.
Direct writes take almost no CPU. Some file systems refuse them (tmpfs, some network mounts): there they are buffered.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .._threads import Beside

BLOCK = 4096
_CHUNK = 16 * 1024 * 1024
_DIRECT = getattr(os, "O_DIRECT", 0)
_NOT_DIRECT = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}

Place = tuple[int, int]


def _is_there(stop: int) -> None:
    """Wait for nothing."""
    del stop


def write_file(
    path: Path,
    memory: npt.NDArray[np.uint8],
    body: Place,
    seal: Callable[[], tuple[int, list[Place]]],
    report: Callable[[int], None],
    wait_for: Callable[[int], None] = _is_there,
) -> None:
    """Write a file that lies in memory, all but its digests: those are computed while the rest is being written.

    Args:
        path: Where nothing is yet.
        memory: The file; begins at a page's start, and is as long as whole blocks that hold it.
        body: What can be written at once: (start, stop).
        seal: Completes the file in memory; returns its length, and the places, (offset, length), that it filled.
        report: Told how many bytes have been written.
        wait_for: Returns when the body is in memory up to a place; what it raises is raised here.

    Raises:
        OSError: The storage refused.
    """
    if body[1] <= _CHUNK:  # too little to be worth a thread
        wait_for(body[1])
        length, _ = seal()
        with _File(path, memory) as file:
            file.allocate(length)
            file.write(0, length, report)
            file.truncate(length)
        return

    def seal_all() -> tuple[int, list[Place]]:
        wait_for(body[1])
        return seal()

    sealing = Beside(seal_all, "lastgood-digests")
    try:
        sealing.start()
        with _File(path, memory) as file:
            file.allocate(body[1])
            file.write(*body, report, wait_for)
            length, places = sealing.result()
            for offset, size in places:
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
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._memory = memory
        self._written = 0
        try:
            self._descriptor = os.open(path, flags | _DIRECT, 0o644)
        except OSError as error:
            if error.errno not in _NOT_DIRECT:
                raise
            self._descriptor = os.open(path, flags, 0o644)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def allocate(self, size: int) -> None:
        """Reserve space, so that a full disk says so before the writing rather than during it."""
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._descriptor, 0, size)
            except OSError as error:
                if error.errno not in _NOT_DIRECT:
                    raise

    def write(
        self,
        start: int,
        stop: int,
        report: Callable[[int], None],
        wait_for: Callable[[int], None] = _is_there,
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
            return os.pwrite(self._descriptor, content, offset)
        except OSError as error:
            flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
            if error.errno not in _NOT_DIRECT or not flags & _DIRECT:
                raise
            # Some file systems open a file for direct writes, and then refuse them.
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
            return os.pwrite(self._descriptor, content, offset)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)
