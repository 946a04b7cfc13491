"""Features of Windows, and the names that it does not allow.

An open file cannot be replaced or removed, and a virus scanner or an indexer may open any file for a moment, so both
operations are retried for a while. Locked bytes cannot be read by others, so the locked byte lies far beyond the text
that says who holds the lock.
"""

import contextlib
import ctypes
import errno
import msvcrt
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..base import TEMPORARY_PREFIX
from .base import System

_msvcrt: Any = msvcrt  # which has no types on other systems
_ctypes: Any = ctypes

_FAR = 1 << 30
_PATIENCE = 2.0
_REPLACE_EXISTING, _WRITE_THROUGH = 1, 8
_LONGEST_PATH = 240  # of 260 characters; a save's temporary files have longer names than most
_VERBATIM = "\\\\?\\"
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{name}{number}" for name in ("com", "lpt") for number in "123456789¹²³"}
_positions = threading.Lock()


class Windows(System):
    """Windows."""

    folds_case = True
    replaces_open_files = False

    def open(self, path: Path, flags: int = os.O_RDONLY, *, follow: bool = True) -> int:
        """Open a file. See :meth:`System.open`."""
        if not follow and path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0), 0o666)

    def read_into(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read at an offset, under a lock: threads share a descriptor's position. See :meth:`System.read_into`."""
        with _positions:
            os.lseek(descriptor, offset, os.SEEK_SET)
            content = os.read(descriptor, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def write(self, descriptor: int, content: Any, offset: int) -> int:
        """Write at an offset. See :meth:`read_into`."""
        with _positions:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, content)

    def append(self, descriptor: int, content: bytes) -> int:
        """Write to the end of a file, under a lock: seeking and writing are two steps. See :meth:`System.append`."""
        _patiently(lambda: self._lock(descriptor, _msvcrt.LK_NBLCK))
        try:
            return os.write(descriptor, content)
        finally:
            self.unlock(descriptor)

    def open_to_sync(self, path: Path) -> int:
        """Open a file to sync it, which must be writable."""
        return self.open(path, os.O_RDWR)

    def sync_directory(self, path: Path) -> None:
        """Do nothing: a rename returns once it is on the disk. See :meth:`replace`."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename, and wait until the rename is on the disk. See :meth:`System.replace`."""
        library = _ctypes.WinDLL("kernel32", use_last_error=True)

        def move() -> None:
            if not library.MoveFileExW(os.fspath(source), os.fspath(target), _REPLACE_EXISTING | _WRITE_THROUGH):
                if target.is_dir():  # Windows reports a permission error, which would be retried
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
                error: OSError = _ctypes.WinError(_ctypes.get_last_error())
                error.filename, error.filename2 = os.fspath(source), os.fspath(target)
                raise error

        _patiently(move)

    def remove(self, path: Path) -> None:
        """Remove a file once it is no longer open. See :meth:`System.remove`."""
        _patiently(lambda: path.unlink(missing_ok=True))

    def open_to_lock(self, directory: Path) -> int:
        """Open a file in the directory, since a directory cannot be opened."""
        return self.open(_lock_in(directory), os.O_RDWR | os.O_CREAT, follow=False)

    def close_lock(self, descriptor: int, directory: Path) -> None:
        """Release the lock of a directory, and remove its file. See :meth:`System.close_lock`."""
        self.close_and_remove(descriptor, _lock_in(directory))

    def lock(self, descriptor: int) -> None:
        """Lock an open file. See :meth:`System.lock`."""
        try:
            self._lock(descriptor, _msvcrt.LK_NBLCK)
        except PermissionError as error:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def unlock(self, descriptor: int) -> None:
        """Unlock an open file."""
        self._lock(descriptor, _msvcrt.LK_UNLCK)

    def close_and_remove(self, descriptor: int, path: Path) -> None:
        """Release a lock, and remove its file unless it is open elsewhere. See :meth:`System.close_and_remove`."""
        os.close(descriptor)
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)

    def lock_for_process(self, descriptor: int) -> None:
        """Lock an open file; child processes do not inherit the lock."""
        self.lock(descriptor)

    @staticmethod
    def _lock(descriptor: int, how: int) -> None:
        with _positions:
            before = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            try:
                _msvcrt.locking(descriptor, how, 1)
            finally:
                os.lseek(descriptor, before, os.SEEK_SET)

    def flaw_of(self, name: str) -> str:
        """Return why a name is not a valid file name. See :meth:`System.flaw_of`."""
        forbidden = _FORBIDDEN.search(name)
        if forbidden:
            return f"Windows does not allow {forbidden[0]!r} in names"
        if name.endswith((".", " ")) and name not in (".", ".."):
            return "Windows drops a dot or a space at the end of a name"
        if name.partition(".")[0].rstrip(" ").lower() in _DEVICES:
            return "Windows reserves this name for a device"
        return ""

    def with_slashes(self, path: str) -> str:
        """Return a path with slashes as separators. See :meth:`System.with_slashes`."""
        return path if path.startswith(_VERBATIM) else path.replace("\\", "/")

    def whole(self, path: Path) -> Path:
        """Return a long path in the form that Windows takes verbatim. See :meth:`System.whole`."""
        text = os.path.abspath(path)  # noqa: PTH100 - a verbatim path has no '..' in it
        if len(text) < _LONGEST_PATH or text.startswith(_VERBATIM):
            return path
        share = text.startswith("\\\\")
        return Path(f"{_VERBATIM}UNC\\{text[2:]}" if share else _VERBATIM + text)


def _lock_in(directory: Path) -> Path:
    return directory / f"{TEMPORARY_PREFIX}directory.lock"


def _patiently(act: Callable[[], None]) -> None:
    """Retry an operation that fails while a file is open or locked elsewhere.

    Raises:
        PermissionError: The file stayed open or locked, or may not be written to.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except PermissionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
