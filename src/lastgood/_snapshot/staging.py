"""The staging buffer: memory that is mapped once and reused, and whose pages are allocated before they are needed.

A copy into fresh memory is as slow as page faults; into memory with allocated pages, it runs at 8 to 12 GB/s. The
memory is private and has huge pages: touching 537 MB of it took 0.05 s, of small pages 0.26 s, of shared small pages,
Python's default for ``mmap``, 0.67 s (2 cores, Linux 6). In a virtual machine whose host has reclaimed unused memory,
as cloud providers do, the same takes ten times as long. A forked process, such as a data loader's worker, does not get
the memory: it would end up with a copy of the whole, made page by page while the next snapshot is taken.

More addresses are mapped than requested. They take no memory until they are used, and a save that is slightly larger
than the previous one can use the pages of that one.
"""

import contextlib
import ctypes
import mmap
import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .._storage.systems import SYSTEM
from .._threads import Beside, in_forked_children, spread

PAGE = 4096
_PART = 16 * 1024 * 1024
_ROOM = 16 * 1024 * 1024
_ADVICE = ("MADV_HUGEPAGE", "MADV_DONTFORK")
_SPARE = 128 * 1024 * 1024  # what training may need besides

Memory = npt.NDArray[np.uint8]


class Pinning(Protocol):
    """Preparation of a GPU's transfers into the buffer, undone before the buffer is released."""

    def pin(self, memory: Memory) -> None:
        """Page-lock the memory, or other memory that the transfers go through."""

    def unpin(self, memory: Memory) -> None:
        """Release it."""


class _Buffer:
    """Memory that is mapped once, and whose pages are allocated in order.

    Attributes:
        memory: All of the mapped memory.
        missing: Bytes whose pages were still to be allocated when it was last taken.
    """

    def __init__(self, size: int) -> None:
        """Map the addresses, which take no memory yet."""
        self._map = _mapped(size)
        self.memory: Memory = np.frombuffer(self._map, np.uint8)
        self.missing = 0
        self._there = 0  # bytes at its beginning whose pages are allocated
        self._wanted = 0  # bytes whose pages are to be allocated
        self._pinned = 0
        self._pinning = threading.Lock()
        self._stop = threading.Event()
        self._filling: Beside[None] | None = None

    @property
    def allocated(self) -> int:
        """Bytes at its beginning whose pages are allocated."""
        return self._there

    def fill(self, size: int, *, threads: int) -> Beside[None]:
        """Allocate the first ``size`` bytes in a thread; return that work."""
        self.stop()  # this continues the work that another callback started
        self._wanted = max(size, self._wanted)
        self._stop.clear()
        self._filling = Beside(lambda: self._fill(threads), "lastgood-staging")
        self._filling.start()
        return self._filling

    def _fill(self, threads: int) -> None:
        size = self._wanted
        while self._there < size and not self._stop.is_set():
            parts = [self.memory[at : min(at + _PART, size)] for at in range(self._there, size, _PART)][:threads]
            spread(_touch, parts, threads)
            self._there += sum(map(len, parts))
        if self._there >= size:
            self._pin(size)
            self._wanted = 0

    def take(self, size: int) -> Memory:
        """Return the first ``size`` bytes. Missing pages are allocated when threads write to them."""
        self.missing = max(0, size - self._there)
        if size > self._there or _pinning_way:
            self.stop()
            self._there = max(self._there, size)
            self._wanted = 0
            self._pin(size)
        return self.memory[: _whole_pages(size)]

    def drop(self, start: int, stop: int) -> None:
        """Give back the pages between two offsets; their contents are lost."""
        start, stop = -(-start // PAGE) * PAGE, stop // PAGE * PAGE
        if start < stop:
            self._map.madvise(mmap.MADV_DONTNEED, start, stop - start)
            self._there = min(self._there, start)

    def stop(self) -> None:
        """Stop allocating pages, and return when the thread has ended."""
        self._stop.set()
        if self._filling is not None:
            self._filling.wait()

    def _pin(self, size: int) -> None:
        with self._pinning:
            if _pinning_way and size > self._pinned:
                self._unpin()
                self._pinned = _whole_pages(size)
                _pinning_way.pin(self.memory[: self._pinned])

    def close(self) -> None:
        """Unpin the memory; it is unmapped when no array refers to it any more."""
        self.stop()
        with self._pinning:
            self._unpin()

    def _unpin(self) -> None:
        if _pinning_way and self._pinned:
            _pinning_way.unpin(self.memory[: self._pinned])
        self._pinned = 0


_buffer: _Buffer | None = None
_pinning_way: Pinning | None = None
_making = threading.Lock()


def shared(size: int) -> Memory:
    """Return the process's one staging buffer: page-aligned, at least ``size`` bytes, with arbitrary contents.

    One is enough because one save is in flight: the caller has waited until the writer no longer needs it.
    """
    with _making:
        return _made(size).take(size)


def _made(size: int) -> _Buffer:
    global _buffer
    if _buffer is None or len(_buffer.memory) < size:
        if _buffer is not None:
            _buffer.close()
        _buffer = None  # released before the new one is mapped, so that there are never two
        _buffer = _Buffer(size)
    return _buffer


def grown(memory: Memory, size: int) -> Memory:
    """Return a larger buffer that begins with the contents of ``memory``; if it must move, two exist for a moment.

    Args:
        memory: What :func:`shared` or this function returned.
        size: The least number of bytes that it needs.
    """
    larger = shared(size)
    if larger.ctypes.data != memory.ctypes.data:
        larger[: len(memory)] = memory
    return larger


def pin_with(pinning: Pinning) -> None:
    """Use ``pinning`` for the buffer from now on; a backend with GPUs calls this."""
    global _pinning_way
    with _making:
        _pinning_way = pinning


def prepare(size: int, *, threads: int = 1) -> Beside[None]:
    """Allocate the buffer's pages before the first save, which would wait for them; the buffer must not be in use.

    Args:
        size: About how many bytes that save will need.
        threads: How many threads allocate them, while training starts.

    Returns:
        The work of these threads.
    """
    with _making:
        return _made(size).fill(size, threads=threads)


def has_room(size: int) -> bool:
    """Return whether the buffer may be filled up to ``size``, as far as this system says."""
    there = 0 if _buffer is None else _buffer.allocated
    return _is_free(size - there)


def lacks_room() -> bool:
    """Return whether the buffer that was just taken needs more memory than there is."""
    return _buffer is not None and not _is_free(_buffer.missing)


def _is_free(size: int) -> bool:
    free = SYSTEM.free_memory() if size > _SPARE else None  # asked only where it may matter: this takes a millisecond
    return free is None or size <= free - _SPARE


def drop(start: int, stop: int) -> None:
    """Give back the buffer's pages between two offsets; their contents are lost."""
    if _buffer is not None:
        _buffer.drop(start, stop)


def _touch(parts: Sequence[Memory]) -> None:
    for part in parts:
        part[::PAGE] = 0


def _whole_pages(size: int) -> int:
    return max(PAGE, -(-size // PAGE) * PAGE)


def private_map(size: int) -> mmap.mmap:
    """Map memory that only this process uses; Python's default is shared memory, whose pages cost more."""
    # Windows has no such flags; its memory is private.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return mmap.mmap(-1, size, **private)


def _mapped(size: int) -> mmap.mmap:
    """Map private memory, with spare addresses if the system grants them."""
    try:
        mapped = private_map(_whole_pages(size + size // 8 + _ROOM))
    except OSError:
        mapped = private_map(_whole_pages(size))
    for advice in (getattr(mmap, name) for name in _ADVICE if hasattr(mmap, name)):
        with contextlib.suppress(OSError):  # the system may refuse advice; the memory works without it
            mapped.madvise(advice)
    return mapped


def _forget() -> None:
    """Start without a buffer in a forked child, which does not inherit the parent's.

    The Python object is kept forever: freeing it would unmap whatever the child has at its addresses by then.
    """
    global _buffer, _making
    if _buffer is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_buffer))
    _buffer, _making = None, threading.Lock()


in_forked_children(_forget)
