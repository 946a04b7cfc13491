"""Features of macOS beyond POSIX."""

import ctypes
import fcntl
import os
from pathlib import Path

from .base import UNSUPPORTED, unless
from .posix import Posix

_RENAME_SWAP = 2


class MacOS(Posix):
    """macOS."""

    folds_case = True

    def open_direct(self, path: Path) -> int:
        """Open a new file that bypasses the cache. See :meth:`System.open_direct`."""
        descriptor = super().open_direct(path)
        with unless(UNSUPPORTED):
            fcntl.fcntl(descriptor, getattr(fcntl, "F_NOCACHE", 48), 1)
        return descriptor

    def read_into(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read at an offset; releases before 11 have no ``preadv``. See :meth:`System.read_into`."""
        if hasattr(os, "preadv"):
            return super().read_into(descriptor, buffer, offset)
        content = os.pread(descriptor, len(buffer), offset)
        buffer[: len(content)] = content
        return len(content)

    def sync(self, descriptor: int) -> None:
        """Sync an open file: fsync alone leaves it in the drive's cache. See :meth:`System.sync`."""
        with unless(UNSUPPORTED):
            fcntl.fcntl(descriptor, getattr(fcntl, "F_FULLFSYNC", 51))
            return
        super().sync(descriptor)

    def exchange(self, a: Path, b: Path) -> bool:
        """Swap two names. See :meth:`System.exchange`."""
        try:
            swap = ctypes.CDLL(None, use_errno=True).renamex_np
        except (AttributeError, OSError):
            return False
        with unless(UNSUPPORTED):
            if swap(os.fsencode(a), os.fsencode(b), ctypes.c_uint(_RENAME_SWAP)) == 0:
                return True
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(a), None, os.fspath(b))
        return False
