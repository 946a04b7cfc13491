"""Which pages of an array are in memory."""

import ctypes
import mmap


def resident(memory, size):
    """Return how many of the first ``size`` bytes of a page-aligned array are in memory, in full pages (Linux)."""
    pages = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    address = ctypes.c_void_p(memory.ctypes.data)
    assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(pages * mmap.PAGESIZE), found) == 0
    return sum(each & 1 for each in found) * mmap.PAGESIZE
