"""The memory that saves are laid out in: mapped once, its pages there before they are needed, and reused.

A copy into fresh memory runs at the speed of page faults; into memory whose pages are there, at 8 to 12 GB/s. The
memory is private and of huge pages: touching 537 MB of it took 0.05 s, of small pages 0.26 s, of shared small pages,
Python's default for ``mmap``, 0.67 s (2 cores, Linux 6). In a virtual machine whose host has taken unused memory back,
as cloud providers do, the same takes ten times as long. A forked process, such as a data loader's worker, does not get
the memory: it would be left with a copy of the whole, made page by page while the next snapshot is taken.

More addresses are mapped than are asked for. They take no memory until they are used, and a save that is a little
larger than the one before it finds the pages of that one.
"""

import contextlib
import ctypes
import mmap
import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .._threads import Beside, in_forked_children, spread

PAGE = 4096
_PART = 16 * 1024 * 1024
_ROOM = 16 * 1024 * 1024
_ADVICE = ("MADV_HUGEPAGE", "MADV_DONTFORK")

Memory = npt.NDArray[np.uint8]


class Pinning(Protocol):
    """What gets a GPU's way into the buffer ready, and undoes it before the buffer goes away."""

    def pin(self, memory: Memory) -> None:
        """Lock the memory, or whatever else the way goes through."""

    def unpin(self, memory: Memory) -> None:
        """Release it."""


class _Buffer:
    """Memory that is mapped once, and whose pages come in their order.

    Attributes:
        memory: All of its addresses.
    """

    def __init__(self, size: int) -> None:
        """Map it; it takes no memory yet."""
        self.memory = _mapped(size)
        self._there = 0  # bytes at its beginning whose pages are there
        self._wanted = 0  # bytes of which somebody sees to that
        self._pinned = 0
        self._pinning = threading.Lock()
        self._stop = threading.Event()
        self._filling: Beside[None] | None = None

    def fill(self, size: int, *, threads: int) -> Beside[None]:
        """Have the first ``size`` bytes be there; return the work, which goes on in a thread."""
        self.stop()  # one that another callback wants goes on with this
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
        """Return the first ``size`` bytes. Pages that are missing come when they are written to, by all who write."""
        if size > self._there or _pinning_way:
            self.stop()
            self._there = max(self._there, size)
            self._wanted = 0
            self._pin(size)
        return self.memory[: _whole_pages(size)]

    def stop(self) -> None:
        """Return when nobody fills it."""
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
        """Undo what was done to it; it is unmapped when nobody looks at it any more."""
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
    """Return the process's one staging buffer: page-aligned, ``size`` bytes at least; it holds whatever was there.

    There is one because there is one save in flight: whoever takes it has waited for the writer to be done with it.
    """
    with _making:
        return _made(size).take(size)


def _made(size: int) -> _Buffer:
    global _buffer
    if _buffer is None or len(_buffer.memory) < size:
        if _buffer is not None:
            _buffer.close()
        _buffer = None  # the old one goes before the new one comes, so that there are never two
        _buffer = _Buffer(size)
    return _buffer


def grown(memory: Memory, size: int) -> Memory:
    """Return the buffer with what ``memory``, which it began with, holds: if it must move, there are two for a moment.

    Args:
        memory: What :func:`shared` or this function returned.
        size: How many bytes it has to have.
    """
    larger = shared(size)
    if larger.ctypes.data != memory.ctypes.data:
        larger[: len(memory)] = memory
    return larger


def pin_with(pinning: Pinning) -> None:
    """Have the buffer locked in memory, for a backend whose GPUs then write to it directly."""
    global _pinning_way
    with _making:
        _pinning_way = pinning


def prepare(size: int, *, threads: int = 1) -> Beside[None]:
    """Have the buffer's pages be there before the first save, which would wait for them; nobody may be using it.

    Args:
        size: About the bytes that it will need.
        threads: How many see to it, while training starts.

    Returns:
        Their work.
    """
    with _making:
        return _made(size).fill(size, threads=threads)


def _touch(parts: Sequence[Memory]) -> None:
    for part in parts:
        part[::PAGE] = 0


def _whole_pages(size: int) -> int:
    return max(PAGE, -(-size // PAGE) * PAGE)


def _mapped(size: int) -> Memory:
    """Map memory that nothing else sees, with addresses to spare where they are granted."""
    # Windows has no flags, and its memory is private.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    try:
        mapped = mmap.mmap(-1, _whole_pages(size + size // 8 + _ROOM), **private)
    except OSError:
        mapped = mmap.mmap(-1, _whole_pages(size), **private)
    for advice in (getattr(mmap, name) for name in _ADVICE if hasattr(mmap, name)):
        with contextlib.suppress(OSError):  # advice may be refused, and all works without
            mapped.madvise(advice)
    memory: Memory = np.frombuffer(mapped, np.uint8)
    return memory


def _forget() -> None:
    """Start anew in a forked child, which does not have the parent's buffer.

    What Python knows of it lives on for good: to free it would be to unmap, in the child, whatever is there by then.
    """
    global _buffer, _making
    if _buffer is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_buffer))
    _buffer, _making = None, threading.Lock()


in_forked_children(_forget)
