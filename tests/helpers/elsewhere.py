"""Makes this machine look like another system to lastgood: what that one lacks is missing, what it refuses is refused.

Only lastgood's own modules see this when they import the standard library; other packages are not affected. It has to
be imported before lastgood, in each child process, too: Python itself imports it at its start, from ``pretending`` on
its path. See :func:`environment`.
"""

import builtins
import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import struct
import sys
import types

SYSTEM = os.environ.get("LASTGOOD_ELSEWHERE", "")
"""The simulated system: ``"windows"``, ``"macos"``; empty for this one."""

seen = {"full syncs": 0, "moves": 0, "locks": 0}
"""How often features of the other system were used."""


def environment(system):
    """Return the environment variables with which a process, and its child processes, see another system."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([os.path.join(here, "pretending"), os.path.dirname(here)])
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**inherited, "LASTGOOD_ELSEWHERE": system, "PYTHONPATH": path}


_REAL = types.SimpleNamespace(**{name: getattr(os, name) for name in ("open", "fsync", "unlink", "replace")})
_UNIX_ONLY = """
    fork forkpty register_at_fork pread preadv pwrite pwritev posix_fallocate posix_fadvise posix_spawn fchown chown
    lchown getuid geteuid getgid getegid getgroups setuid setgid seteuid setegid getpgid getpgrp setpgid setsid getsid
    killpg wait wait3 wait4 waitid mkfifo mknod statvfs fstatvfs sync fdatasync uname getloadavg nice sendfile splice
    memfd_create copy_file_range sched_yield sched_getaffinity sched_setaffinity sched_getscheduler fchdir fchmod lockf
    O_CLOEXEC O_NONBLOCK O_NOFOLLOW O_DIRECTORY O_PATH O_DIRECT O_SYNC O_DSYNC O_NOCTTY O_TMPFILE F_LOCK F_TLOCK
""".split()
_LINUX_ONLY = """
    O_DIRECT O_PATH O_TMPFILE posix_fallocate posix_fadvise preadv pwritev sched_getaffinity sched_setaffinity
    copy_file_range memfd_create splice fdatasync
""".split()


class _Instead(types.ModuleType):
    """A module of the standard library with some names removed and others replaced."""

    def __init__(self, module, gone=(), **instead):
        super().__init__(module.__name__)
        self.__dict__.update(instead)
        self.__dict__["_module"], self.__dict__["_gone"] = module, frozenset(gone)

    def __getattr__(self, name):
        if name in self._gone:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r} on this system")
        return getattr(self._module, name)


def pretend(system):
    """Make lastgood, which must not be imported yet, see another system."""
    assert not any(name.partition(".")[0] == "lastgood" for name in sys.modules), "lastgood is already imported"
    missing, instead = {"windows": _windows, "macos": _macos}[system]()
    original = builtins.__import__

    def importing(name, globals=None, locals=None, fromlist=(), level=0):
        importer = (globals or {}).get("__name__", "")
        if level == 0 and importer.partition(".")[0] == "lastgood":
            if name in missing:
                raise ModuleNotFoundError(f"No module named {name!r} on this system", name=name)
            if name in instead:
                return instead[name]
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = importing


# Windows


def _windows():
    import mmap
    import signal
    import socket

    shutil._use_fd_functions = False  # it opens directories
    for name in ("open", "fsync", "unlink", "remove", "replace", "rename"):
        setattr(os, name, globals()[f"_{name}"])
    gone = [name for name in dir(signal) if name.startswith("SIG")]
    kept = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
    return {"fcntl", "grp", "pwd", "resource", "termios", "pty", "tty", "syslog"}, {
        "os": _Instead(os, _UNIX_ONLY, name="nt", supports_effective_ids=set(), O_BINARY=0, O_NOINHERIT=os.O_CLOEXEC),
        "msvcrt": types.SimpleNamespace(locking=_locking, LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2),
        "sys": _Instead(sys, platform="win32"),
        "socket": _Instead(socket, ("AF_UNIX", "SO_PEERCRED")),
        "signal": _Instead(
            signal, {*gone, "pthread_kill", "pthread_sigmask", "setitimer", "alarm"} - kept, SIGBREAK=21
        ),
        "mmap": _Instead(mmap, {name for name in dir(mmap) if name.startswith(("MAP_", "MADV_", "PROT_"))}),
        "ctypes": _Instead(ctypes, CDLL=_no_library, WinDLL=_Kernel, get_last_error=_last_error, WinError=_error),
    }


def _is_open(path):
    """Return whether any process has a file open, or one below a directory."""
    wanted = os.path.realpath(path)
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for each in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    found = os.readlink(f"/proc/{process}/fd/{each}")
                    if found == wanted or found.startswith(f"{wanted}/"):
                        return True
    return False


def _refuse_if_open(*paths):
    for path in paths:
        if isinstance(path, str | os.PathLike) and not os.path.islink(path) and _is_open(path):
            raise PermissionError(errno.EACCES, "it is being used by another process", os.fspath(path))


def _open(path, flags, mode=0o777, *, dir_fd=None):
    if isinstance(path, str | os.PathLike):
        if os.path.isdir(path) and not flags & getattr(os, "O_TMPFILE", 0):  # Python's own temporary files
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        if flags & os.O_CREAT and re.search(r'[<>:"|?*]', os.path.basename(path)):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))
    return _REAL.open(path, flags, mode, dir_fd=dir_fd)


def _fsync(descriptor):
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    _REAL.fsync(number)


def _unlink(path, *, dir_fd=None):
    _refuse_if_open(path)
    _REAL.unlink(path, dir_fd=dir_fd)


_remove = _unlink


def _replace(source, target, **options):
    _refuse_if_open(source, target)
    if os.path.isdir(target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(target))
    _REAL.replace(source, target, **options)


def _rename(source, target, **options):
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    _replace(source, target, **options)


_FLOCK = struct.Struct("hhqqi4x")


def _locking(descriptor, how, length):
    """Lock bytes at a descriptor's position, for that descriptor alone; others cannot read them."""
    seen["locks"] += 1
    at = os.lseek(descriptor, 0, os.SEEK_CUR)
    assert at >= os.fstat(descriptor).st_size, "locked bytes cannot be read, so they must lie after the end"
    kind = fcntl.F_UNLCK if how == 0 else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, at, length, 0))
    except BlockingIOError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


_CODES = {errno.ENOENT: 2, errno.EACCES: 5, errno.EXDEV: 17, errno.EEXIST: 183}
_last = [0]


class _Kernel:
    def __init__(self, name, use_last_error=False):
        assert (name, use_last_error) == ("kernel32", True)

    def MoveFileExW(self, source, target, flags):  # noqa: N802 - its name on Windows
        assert isinstance(source, str)
        assert flags == 1 | 8, "replace what is there, and return when it is on the disk"
        seen["moves"] += 1
        try:
            _replace(source, target)
        except OSError as error:
            _last[0] = _CODES.get(error.errno, 5)  # as when a directory has appeared there meanwhile
            return 0
        return 1


def _last_error():
    return _last[0]


def _error(code):
    number = next(number for number, each in _CODES.items() if each == code)
    return OSError(number, os.strerror(number))


def _no_library(name=None, **_):
    raise TypeError("bad argument type for built-in operation")


# macOS


def _macos():
    import mmap
    import socket

    return set(), {
        "os": _Instead(os, _LINUX_ONLY),
        "sys": _Instead(sys, platform="darwin"),
        "socket": _Instead(socket, ("SO_PEERCRED",)),
        "fcntl": _Instead(fcntl, ("F_OFD_SETLK",), F_FULLFSYNC=51, F_NOCACHE=48, fcntl=_fcntl),
        "mmap": _Instead(mmap, ("MADV_HUGEPAGE", "MADV_DONTFORK", "MAP_POPULATE")),
        "ctypes": _Instead(ctypes, CDLL=_library),
    }


def _fcntl(descriptor, what, argument=0):
    if what == 51:
        seen["full syncs"] += 1
        _REAL.fsync(descriptor)
        return 0
    return 0 if what == 48 else fcntl.fcntl(descriptor, what, argument)


def _library(name, use_errno=False):
    assert name is None
    linux = ctypes.CDLL(None, use_errno=True)

    def renamex_np(a, b, flags):
        seen["moves"] += 1
        return linux.renameat2(-100, a, -100, b, flags.value)

    return types.SimpleNamespace(renamex_np=renamex_np)


if SYSTEM:
    pretend(SYSTEM)
