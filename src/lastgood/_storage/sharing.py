"""Blocks that a new file shares with the file saved before it, and so need not write.

Some file systems, such as XFS and Btrfs, let files share blocks of the disk until one of the files is written to. Each
file is complete, and either may be deleted.

A sum of each block shows which parts of a new file are probably unchanged. Sums are cheap and prove nothing. So the new
file takes the blocks, reads them back from the disk, and compares them with what it would have written. A part that
differs is written, whatever has happened to the other file or its blocks.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .base import BLOCK, Image, Span
from .positioned import LocalFile
from .systems import SYSTEM

_FEWEST = 16 * BLOCK  # bytes; a shorter match is not worth an extent of its own
_PART = 4 * 1024 * 1024  # bytes that are taken and checked at a time
_MOST = 8  # files that are remembered, at 8 bytes per block

Sums = npt.NDArray[np.uint64]


class _Before(NamedTuple):
    """A file written earlier, and the sum of each of its blocks."""

    path: Path
    sums: Sums


class Written:
    """The files that this process wrote last: one for each layout on each file system."""

    def __init__(self) -> None:
        """Start without files."""
        self._files: dict[tuple[int, Span], _Before] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return a state without files: another process has not written any yet."""
        return {"_files": {}}

    @contextmanager
    def sharing(self, descriptor: int, image: Image, place: Path) -> Iterator["Sharing | None"]:
        """Yield what shares blocks with the file before, for a new file; None if the file system cannot share.

        Args:
            descriptor: The new file, empty and open for reading and writing.
            image: Its contents.
            place: The path at which it will be.
        """
        try:
            SYSTEM.share(descriptor, descriptor, 0, 0)  # an empty file with itself: has no effect, or is refused
        except OSError:
            yield None
            return
        key = (os.fstat(descriptor).st_dev, image.body)
        before = self._files.get(key)
        with ExitStack() as stack:
            sharing = Sharing(descriptor, image.memory)
            if before is not None:
                with suppress(OSError):  # it has been deleted since
                    sharing.take_from(stack.enter_context(LocalFile(before.path)), before.sums)
            yield sharing
        self._files.pop(key, None)
        self._files[key] = _Before(place, sharing.sums)
        if len(self._files) > _MOST:
            del self._files[next(iter(self._files))]


class Sharing:
    """A new file that takes over blocks of another where both have the same contents.

    Attributes:
        sums: The sum of each block of the new file, as far as it has been computed.
    """

    def __init__(self, descriptor: int, memory: npt.NDArray[np.uint8]) -> None:
        """Initialize without a file to take blocks from.

        Args:
            descriptor: The new file.
            memory: Its contents.
        """
        count = len(memory) // BLOCK
        self.sums: Sums = np.zeros(count, np.uint64)
        self._descriptor = descriptor
        self._memory = memory
        self._taken = np.zeros(count, bool)
        self._source: LocalFile | None = None
        self._before = self.sums[:0]

    def take_from(self, source: LocalFile, sums: Sums) -> None:
        """Take blocks from a file whose blocks had these sums when it was written."""
        self._source = source
        self._before = sums[: source.size // BLOCK]

    @property
    def has_source(self) -> bool:
        """Whether there is a file to take blocks from."""
        return self._source is not None

    @property
    def shared(self) -> int:
        """The number of bytes that were taken and not written since."""
        return int(np.count_nonzero(self._taken)) * BLOCK

    def lacking(self, start: int, stop: int) -> Iterator[Span]:
        """Take what it can of the blocks from ``start`` to ``stop``, and yield the spans that must be written."""
        self._taken[start // BLOCK : stop // BLOCK] = False
        at = start
        for begin, end in self._alike(start // BLOCK, stop // BLOCK):
            if self._take(begin, end):
                if at < begin:
                    yield Span(at, begin)
                at = end
        if at < stop:
            yield Span(at, stop)

    def _alike(self, first: int, last: int) -> Iterator[Span]:
        """Yield spans of the blocks from ``first`` to ``last`` whose sums match those of the file before."""
        words = self._memory[first * BLOCK : last * BLOCK].view(np.uint64)
        self.sums[first:last] = words.reshape(last - first, -1).sum(axis=1)
        before = self._before[first:last]
        same = self.sums[first : first + len(before)] == before
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        for begin, end in (BLOCK * (first + edges)).reshape(-1, 2).tolist():
            if end - begin >= _FEWEST:
                yield from (Span(at, min(at + _PART, end)) for at in range(begin, end, _PART))

    def _take(self, start: int, stop: int) -> bool:
        """Take a span of bytes; return whether the file now has the right contents there."""
        if self._source is None:
            return False
        with suppress(OSError):  # then the bytes are written, and a faulty disk raises its error there
            self._source.lend(self._descriptor, start, stop - start)
            if self._holds(start, stop):
                self._taken[start // BLOCK : stop // BLOCK] = True
                return True
        return False

    def _holds(self, start: int, stop: int) -> bool:
        """Return whether the bytes read back from the disk are the right ones."""
        wanted, found = self._memory[start:stop], self._buffer[: stop - start]
        whole = SYSTEM.read_into(self._descriptor, found.data, start) == len(found)
        return whole and np.array_equal(found.view(np.uint64), wanted.view(np.uint64))

    @cached_property
    def _buffer(self) -> npt.NDArray[np.uint8]:
        """A page-aligned buffer, as direct reads need."""
        return np.frombuffer(mmap.mmap(-1, _PART), np.uint8)
