"""Features of Linux beyond POSIX."""

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from functools import cache
from pathlib import Path
from typing import Any

from . import linux_memory
from .base import UNSUPPORTED, unless
from .posix import Posix

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FICLONERANGE = 0x4020940D  # a few architectures use another number; nothing is shared there
_CLONED_RANGE = struct.Struct("qQQQ")  # source, offset in it, length, offset in the new file
# A sandbox may refuse calls that it does not know; an overlay cannot move a directory of its lower layer.
_NO_EXCHANGE = UNSUPPORTED | {errno.EPERM, errno.EXDEV}
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class Linux(Posix):
    """Linux."""

    has_names = True

    def free_memory(self) -> int | None:
        """Ask /proc and the control groups. See :meth:`System.free_memory`."""
        return linux_memory.free_memory()

    def open_direct(self, path: Path) -> int:
        """Open a new file that bypasses the page cache. See :meth:`System.open_direct`."""
        flags = os.O_RDWR | os.O_CREAT
        with unless(UNSUPPORTED):
            return self.open(path, flags | getattr(os, "O_DIRECT", 0))
        return self.open(path, flags)

    def make_buffered(self, descriptor: int) -> bool:
        """Use the page cache from now on. See :meth:`System.make_buffered`."""
        direct = getattr(os, "O_DIRECT", 0)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if not flags & direct:
            return False
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~direct)
        return True

    def reserve(self, descriptor: int, size: int) -> None:
        """Reserve space with ``fallocate``; ``posix_fallocate`` would write to each block if that is missing."""
        fallocate = _of_the_c_library("fallocate64") or _of_the_c_library("fallocate")
        if fallocate is not None and fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def share(self, descriptor: int, source: int, offset: int, length: int) -> None:
        """Share blocks; ``copy_file_range`` would copy if it cannot share. See :meth:`System.share`."""
        fcntl.ioctl(descriptor, _FICLONERANGE, _CLONED_RANGE.pack(source, offset, length, offset))

    def exchange(self, a: Path, b: Path) -> bool:
        """Swap two names. See :meth:`System.exchange`."""
        renameat2 = _of_the_c_library("renameat2")
        if renameat2 is None:
            return False
        with unless(_NO_EXCHANGE):
            if renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
                return True
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(a), None, os.fspath(b))
        return False

    def take_name(self, name: str) -> int | None:
        """Take the name of an abstract socket, which leaves nothing on disk. See :meth:`System.take_name`."""
        address = f"\0{name}"
        taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            taken.bind(address)
            taken.listen(8)
        except OSError as error:
            owner = _owner(taken, address) if error.errno == errno.EADDRINUSE else None
            taken.close()
            if owner:
                raise BlockingIOError(errno.EAGAIN, owner) from error
            return None
        return taken.detach()


def _owner(asking: socket.socket, address: str) -> str:
    """Return a description of the process that has a name."""
    with contextlib.suppress(OSError):
        asking.settimeout(1)
        asking.connect(address)
        content = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process = _CREDENTIALS.unpack(content)[0]
        if process:  # 0 is a process in another container
            return f"process {process} on this machine"
    return "another process on this machine"


@cache
def _of_the_c_library(name: str) -> Any:
    """Return a function of the C library; None if it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError, TypeError):
        return None
