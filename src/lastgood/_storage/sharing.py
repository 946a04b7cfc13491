"""What a new file need not write: blocks of the file that was saved before it, which then belong to both.

Some file systems, XFS and Btrfs among them, let files have blocks of the disk in common until one of them is written
to. Each file is whole, and either may be deleted.

Sums say which parts of a new file are likely to be those of the file before. They cost little and prove nothing. So the
new file takes the blocks, and what it has then is read from the disk and compared with what would have been written.
Whatever has become of the other file, or of its blocks, a part that differs is written.
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

_FEWEST = 16 * BLOCK  # bytes in a row that are worth a piece of the file for themselves
_PART = 4 * 1024 * 1024  # bytes that are taken, and checked, at once
_MOST = 8  # files that are remembered, each by 8 bytes a block

Sums = npt.NDArray[np.uint64]


class _Before(NamedTuple):
    """A file that was written, and the sum of each of its blocks."""

    path: Path
    sums: Sums


class Written:
    """The files that this process has written last: one for each layout, on each file system."""

    def __init__(self) -> None:
        """Know of none."""
        self._files: dict[tuple[int, Span], _Before] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can use: it has written nothing yet."""
        return {"_files": {}}

    @contextmanager
    def sharing(self, descriptor: int, image: Image, place: Path) -> Iterator["Sharing | None"]:
        """Give what shares blocks with the file before, while a new one is written; None where nothing can.

        Args:
            descriptor: The new file, open to be read and written, and empty.
            image: What it is to hold.
            place: Where it will be.
        """
        try:
            SYSTEM.share(descriptor, descriptor, 0, 0)  # an empty file with itself: that does nothing, or is refused
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
    """A new file that takes from another what it has in the same places.

    Attributes:
        sums: The sum of each block of the new file that has been looked at.
    """

    def __init__(self, descriptor: int, memory: npt.NDArray[np.uint8]) -> None:
        """Take nothing yet.

        Args:
            descriptor: The new file.
            memory: What it is to hold.
        """
        count = len(memory) // BLOCK
        self.sums: Sums = np.zeros(count, np.uint64)
        self._descriptor = descriptor
        self._memory = memory
        self._taken = np.zeros(count, bool)
        self._source: LocalFile | None = None
        self._before = self.sums[:0]

    def take_from(self, source: LocalFile, sums: Sums) -> None:
        """Take from a file, whose blocks had these sums when it was written."""
        self._source = source
        self._before = sums[: source.size // BLOCK]

    @property
    def has_source(self) -> bool:
        """Whether there is a file to take from."""
        return self._source is not None

    @property
    def shared(self) -> int:
        """The bytes that were taken and have stayed so."""
        return int(np.count_nonzero(self._taken)) * BLOCK

    def lacking(self, start: int, stop: int) -> Iterator[Span]:
        """Take what can be taken of the blocks from ``start`` to ``stop``, and yield what has to be written."""
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
        """Yield parts of the blocks from ``first`` to ``last`` that have the sums of the file before."""
        words = self._memory[first * BLOCK : last * BLOCK].view(np.uint64)
        self.sums[first:last] = words.reshape(last - first, -1).sum(axis=1)
        before = self._before[first:last]
        same = self.sums[first : first + len(before)] == before
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        for begin, end in (BLOCK * (first + edges)).reshape(-1, 2).tolist():
            if end - begin >= _FEWEST:
                yield from (Span(at, min(at + _PART, end)) for at in range(begin, end, _PART))

    def _take(self, start: int, stop: int) -> bool:
        """Take bytes; return whether the file now has what it is to have."""
        if self._source is None:
            return False
        with suppress(OSError):  # then they are written, and what is wrong with the disk shows there
            self._source.lend(self._descriptor, start, stop - start)
            if self._holds(start, stop):
                self._taken[start // BLOCK : stop // BLOCK] = True
                return True
        return False

    def _holds(self, start: int, stop: int) -> bool:
        """Tell whether the file has what it is to have, as the disk gives it back."""
        wanted, found = self._memory[start:stop], self._buffer[: stop - start]
        whole = SYSTEM.read_into(self._descriptor, found.data, start) == len(found)
        return whole and np.array_equal(found.view(np.uint64), wanted.view(np.uint64))

    @cached_property
    def _buffer(self) -> npt.NDArray[np.uint8]:
        """Memory that direct reads can go to: it begins with a page."""
        return np.frombuffer(mmap.mmap(-1, _PART), np.uint8)
