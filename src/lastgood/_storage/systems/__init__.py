"""Features of operating systems that Python does not offer everywhere: one interface, one module per system.

base.py      the interface, implemented as far as Python alone allows
posix.py     what Linux, macOS and other Unix-like systems share
linux.py     direct writes, reserved space, shared blocks, swapped names, machine-wide names in memory, and in
             linux_memory.py how much memory is free
macos.py     full sync, swapped names
windows.py   its own locks and renames, and names that it does not allow
"""

import sys

from .base import UNSUPPORTED, System


def _this() -> System:
    """Return the system that this process runs on; the modules for other systems cannot be imported on it."""
    if sys.platform == "win32":
        from .windows import Windows

        return Windows()
    if sys.platform == "linux":
        from .linux import Linux

        return Linux()
    if sys.platform == "darwin":
        from .macos import MacOS

        return MacOS()
    from .posix import Posix

    return Posix()


SYSTEM = _this()

__all__ = ["SYSTEM", "UNSUPPORTED", "System"]
