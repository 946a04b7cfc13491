"""The operating system: what of it Python does not have everywhere, one module a system behind one interface.

base.py      the interface, as far as Python alone can do it
posix.py     what Linux and macOS, and others of their kind, have
linux.py     direct writes, reserved space, shared blocks, names that are swapped, names in the machine's memory
macos.py     a full sync, names that are swapped
windows.py   locks and renames of its own, and names that it does not take
"""

import sys

from .base import UNSUPPORTED, System


def _this() -> System:
    """Return the system that this process runs on; the modules of the others would not even import."""
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
