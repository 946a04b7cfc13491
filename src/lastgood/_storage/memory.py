"""Checkpoints in this process's memory, at ``memory://name/…``: for tests, and as an example of a small storage."""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from . import groups
from .base import NOTES, Claim, Entry, EventLog, Info, Stage, Storage, StoredFile, file_path
from .in_memory import MemoryFile
from .scratch import scratch_directory
from .stages import JoinedStage, LocalStage

SCHEME = "memory"
_SCHEME = re.compile(rf"\A{SCHEME}:", re.IGNORECASE)


class MemoryStorage(Storage):
    """A storage in memory that ends with the process; a directory exists as long as something is in it."""

    def __init__(self) -> None:
        """Start empty."""
        self._files: dict[PurePath, bytes] = {}
        self._marks: dict[PurePath, int] = {}  # when each file was written; all values differ
        self._logs: dict[PurePath, _MemoryLog] = {}
        self._last = 0
        self._lock = threading.RLock()

    def parse(self, text: str) -> PurePosixPath:
        """Return the path in a URL ``memory://name/…``, whose first part is the name."""
        return PurePosixPath("/", _SCHEME.sub("", text).lstrip("/"))

    def text_of(self, path: PurePath) -> str:
        """Return the URL of a path."""
        return f"{SCHEME}:/{path}"

    @contextmanager
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> Iterator[Stage]:
        """Yield a stage in a scratch directory, and commit it atomically. See :meth:`Storage.stage`."""
        with scratch_directory() as scratch:
            beside = [entry.name for entry in self._entries(target.parent)]
            stage = LocalStage(scratch / f"checkpoint{suffix}", target, beside)
            yield stage
            if publish and not stage.withdrawn:
                self._commit(target, stage)

    @contextmanager
    def join(self, target: PurePath, admission: str) -> Iterator[Stage]:
        """Yield the stage of another process. See :meth:`Storage.join`."""
        yield JoinedStage(Path(admission), target)

    def _commit(self, target: PurePath, stage: LocalStage) -> None:
        contents = {name: _content(stage, name) for name in stage.files()}
        if not contents:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(target))
        with self._lock:
            if groups.INDEX in contents:
                new = {target.with_name(target.name + name): content for name, content in contents.items()}
                parts = {path for path in new if path.name != target.name + groups.INDEX}
                if parts & self._files.keys():
                    raise OSError(f"another thread has saved to {self.text_of(target)!r} in the meantime")
            else:
                new = {target / name if name else target: content for name, content in contents.items()}
            self.discard(target)
            for path, content in new.items():
                self._set(path, content)

    def _set(self, path: PurePath, content: bytes) -> None:
        self._last = max(self._last + 1, time.time_ns())
        self._files[path] = content
        self._marks[path] = self._last

    def put(self, path: PurePath, content: bytes) -> None:
        """Write a small file. See :meth:`Storage.put`."""
        with self._lock:
            self._set(path, content)

    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> Sequence[PurePath]:
        """Remove nothing: unfinished files end with their process."""
        del directory, owns
        return []

    def discard(self, path: PurePath) -> None:
        """Remove a checkpoint, if it is there. See :meth:`Storage.discard`."""
        with self._lock:
            for each in self._members(path):
                del self._files[each]

    def _members(self, path: PurePath) -> list[PurePath]:
        """Return the paths of all files of the checkpoint at ``path``."""
        beside = [each for each in self._files if each.parent == path.parent and groups.is_member(each.name, path.name)]
        below = [each for each in self._files if each == path or path in each.parents]
        return beside if path.with_name(path.name + groups.INDEX) in self._files else below

    def rename(self, path: PurePath, target: PurePath) -> None:
        """Rename a checkpoint. See :meth:`Storage.rename`."""
        with self._lock:
            for each in self._members(path):
                moved = PurePosixPath(f"{target}{str(each).removeprefix(str(path))}")
                self._set(moved, self._files.pop(each))

    def check_writable(self, directory: PurePath) -> None:
        """Raise NotADirectoryError if a file is in the way. See :meth:`Storage.check_writable`."""
        for path in (directory, *directory.parents):
            if path in self._files:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.text_of(path))

    def free_space(self, directory: PurePath) -> int | None:
        """Return None: the free memory depends on what else is running."""
        del directory
        return None

    def info(self, path: PurePath) -> Info:
        """Return what is at ``path``. See :meth:`Storage.info`."""
        with self._lock:
            index = path.with_name(path.name + groups.INDEX)
            for each, kind in ((index, "group"), (path, "file")):
                if each in self._files:
                    mark = self._marks[each]
                    return Info(kind, len(self._files[each]), mark, mark)  # type: ignore[arg-type]
            below = [self._marks[each] for each in self._files if path in each.parents]
        if not below:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(path))
        return Info("directory", 0, max(below), max(below))

    def entries(self, directory: PurePath) -> Sequence[Entry]:
        """Return the entries of ``directory``. See :meth:`Storage.entries`."""
        found = self._entries(directory)
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(directory))
        return found

    def _entries(self, directory: PurePath) -> list[Entry]:
        with self._lock:
            depth = len(directory.parts)
            below = [each for each in self._files if directory in each.parents]
            names = {each.parts[depth]: each.parts[depth + 1 :] for each in below}
            return [Entry(name, "directory" if rest else "file") for name, rest in names.items()]

    def open(self, path: PurePath) -> StoredFile:
        """Open a file; later changes do not affect the open file. See :meth:`Storage.open`."""
        with self._lock:
            if path not in self._files:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(path))
            return MemoryFile(self.text_of(path), self._files[path])

    def files(self, path: PurePath) -> Sequence[str]:
        """Return the names of a checkpoint's files. See :meth:`Storage.files`."""
        with self._lock:
            prefix = f"{path}/" if self.info(path).kind == "directory" else str(path)
            return sorted(str(each).removeprefix(prefix) for each in self._members(path))

    def is_link(self, path: PurePath) -> bool:
        """Return False: there are no links here."""
        del path
        return False

    def is_inside(self, path: PurePath, name: str) -> bool:
        """Return True if a checkpoint has a file of that name: there are no links here."""
        return file_path(path, self.info(path).kind, name) in self._files

    def check_plain(self, path: PurePath) -> None:
        """Do nothing: there are only regular files here."""

    @contextmanager
    def local(self, path: PurePath) -> Iterator[Path]:
        """Yield a copy in a scratch directory. See :meth:`Storage.local`."""
        with scratch_directory() as scratch:
            copy = LocalStage(scratch / path.name, path)
            with self._lock:
                kind = self.info(path).kind
                contents = {name: self._files[file_path(path, kind, name)] for name in self.files(path)}
            for name, content in contents.items():
                copy.write(name, content)
            yield copy.path

    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Return a claim that never fails: no other process sees this memory."""
        del directory, template, user, leave_lock
        return _MemoryClaim()

    def event_log(self, directory: PurePath) -> EventLog:
        """Return the log of a run. See :meth:`Storage.event_log`."""
        with self._lock:
            return self._logs.setdefault(directory / NOTES, _MemoryLog())


def _content(stage: LocalStage, name: str) -> bytes:
    with stage.open(name) as file:
        return file.read(0, file.size)


class _MemoryClaim(Claim):
    def release(self, user: Any) -> None:
        pass


class _MemoryLog(EventLog):
    def __init__(self) -> None:
        self._content = b""
        self._appending = threading.Lock()
        self._alone = threading.Lock()

    @property
    def exists(self) -> bool:
        return bool(self._content)

    def append(self, line: bytes, *, durable: bool) -> None:
        del durable
        with self._appending:
            self._content += line + b"\n"

    def read(self, offset: int, tail: bytes, most: int) -> tuple[bytes, bool]:
        content, before = self._content, max(0, offset - len(tail))
        goes_on = content[before:offset] == tail
        return (content[offset : offset + most], True) if goes_on else (content[:most], False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._alone:
            yield
