"""Checkpoints on a local or network-mounted file system.

A save writes to a hidden sibling of its target, makes it durable, renames it over the target, and makes the directory
durable.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal

from .._errors import ArgumentError
from . import groups, mounts, placing, tokens
from .base import TEMPORARY_PREFIX, Claim, Entry, Info, Kind, Stage, Storage, file_path
from .claims import LocalClaim
from .durable import make_directories, move, rename, sync_files
from .event_log import LocalEventLog
from .limits import limits_at
from .plain import check_plain
from .positioned import LocalFile
from .sharing import Written
from .stages import JoinedStage, LocalStage, files_of
from .systems import SYSTEM


class LocalStorage(Storage):
    """Files and directories by path, and groups of files whose names begin with the path."""

    writes_in_order = True

    def __init__(self) -> None:
        """Start with nothing known about any file system."""
        self._limits: dict[tuple[int, bool], list[str]] = {}
        self._written = Written()

    def parse(self, text: str) -> Path:
        """Return a path; a leading ``~/`` stands for the home directory.

        Raises:
            ArgumentError: The user has no home directory.
        """
        path = Path(text)
        if text == "~" or text.startswith("~/"):
            try:
                path = path.expanduser()
            except RuntimeError as error:
                told = f"{text!r} begins in a home directory, and this user has none"
                raise ArgumentError(f"{told}. Pass a path without '~', or set HOME.") from error
        return SYSTEM.whole(path)

    def text_of(self, path: PurePath) -> str:
        """Return a path as text, with slashes on every system."""
        return SYSTEM.with_slashes(os.fspath(path))

    def flaw_of(self, text: str) -> str:
        """Return why a path is not valid. See :meth:`Storage.flaw_of`."""
        path = Path(text)
        names = path.parts[1:] if path.anchor else path.parts
        return next((flaw for name in names if (flaw := SYSTEM.flaw_of(name))), "")

    @contextmanager
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> Iterator[Stage]:
        """Yield a stage at a temporary path, and commit it to ``target``. See :meth:`Storage.stage`."""
        target = Path(target)
        if flaw := self.flaw_of(os.fspath(target)):
            raise OSError(errno.EINVAL, flaw, os.fspath(target))
        make_directories(target.parent)
        with tokens.taken(target) as stem:
            temporary = stem.with_name(stem.name + suffix)
            try:
                stage = LocalStage(temporary, target, written=self._written)
                yield stage
                if publish and not stage.withdrawn:
                    placing.publish(temporary, target, stem.with_name(stem.name + ".old"))
            finally:
                groups.remove_any(temporary)
                if not suffix:
                    groups.remove_group(temporary)  # parts of a group that has no index yet

    @contextmanager
    def join(self, target: PurePath, admission: str) -> Iterator[Stage]:
        """Yield the stage of another process. See :meth:`Storage.join`."""
        stage = JoinedStage(Path(admission), target)
        yield stage
        sync_files(stage.added)

    def put(self, path: PurePath, content: bytes) -> None:
        """Write a small file atomically. See :meth:`Storage.put`."""
        with self.stage(path, path.suffix) as stage:
            stage.write("", content)

    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> list[Path]:
        """Remove unfinished files that dead processes left in ``directory``. See :meth:`Storage.reclaim`."""
        del owns  # locks show which processes are dead
        directory = Path(directory)
        if not directory.is_dir():
            return []
        removed: list[Path] = []
        names = [path.name for path in directory.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]
        for token in sorted({name.removeprefix(TEMPORARY_PREFIX).partition(".")[0] for name in names}):
            removed += tokens.reclaim(directory / f"{TEMPORARY_PREFIX}{token}", names)
        return removed

    def discard(self, path: PurePath) -> None:
        """Remove a checkpoint, if it is there. See :meth:`Storage.discard`.

        A directory disappears atomically before its files are removed one by one: half of it is not a checkpoint.
        """
        path = Path(path)
        if path.is_symlink() or not path.is_dir():
            groups.remove_any(path)
            return
        with tokens.taken(path) as stem:
            gone = stem.with_name(stem.name + ".gone")
            groups.remove_any(gone if move(path, gone) else path)

    def rename(self, path: PurePath, target: PurePath) -> None:
        """Rename a checkpoint. See :meth:`Storage.rename`."""
        path, target = Path(path), Path(target)
        for member in groups.members(path) if groups.is_group(path) else [path]:
            rename(member, target.with_name(target.name + member.name.removeprefix(path.name)))

    def check_writable(self, directory: PurePath) -> None:
        """Write and remove an empty file in ``directory``, or in its nearest existing parent."""
        probe = mounts.existing(Path(directory)) / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.probe"
        os.close(SYSTEM.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink(missing_ok=True)  # another process that starts now may have removed it as a leftover

    def check_overwritable(self, path: PurePath) -> None:
        """Check that an existing file may be overwritten. See :meth:`Storage.check_overwritable`."""
        placing.check_overwritable(Path(path))

    def limits(self, directory: PurePath, *, swaps: bool) -> Sequence[str]:
        """Return what the file system lacks; each file system is tested once. See :meth:`Storage.limits`."""
        there = mounts.existing(Path(directory))
        key = (there.stat().st_dev, swaps)
        if key not in self._limits:
            with tokens.taken(there / "probe") as stem:
                self._limits[key] = limits_at(stem, swaps=swaps)
        return self._limits[key]

    def free_space(self, directory: PurePath) -> int:
        """Return the free space below ``directory`` in bytes. See :meth:`Storage.free_space`."""
        return shutil.disk_usage(mounts.existing(Path(directory))).free

    def info(self, path: PurePath) -> Info:
        """Return what is at ``path``. See :meth:`Storage.info`.

        A save may call this for ten thousand checkpoints, so it makes two system calls and no pathlib objects.
        """
        text = os.fspath(path)
        with contextlib.suppress(OSError):
            index = os.stat(text + groups.INDEX)  # noqa: PTH116
            if stat.S_ISREG(index.st_mode):
                return _info(index, "group")
        found = os.stat(text)  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            return _info(found, "directory")
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file or directory", text)
        return _info(found, "file")

    def entries(self, directory: PurePath) -> list[Entry]:
        """Return the entries of ``directory``. See :meth:`Storage.entries`."""
        with os.scandir(directory) as found:
            return [Entry(each.name, _kind(each), each.is_symlink()) for each in found]

    def open(self, path: PurePath) -> LocalFile:
        """Open a regular file. See :meth:`Storage.open`."""
        return LocalFile(Path(path))

    def files(self, path: PurePath) -> Sequence[str]:
        """Return the names of a checkpoint's files. See :meth:`Storage.files`."""
        return files_of(Path(path))

    def is_link(self, path: PurePath) -> bool:
        """Return True if a symbolic link is at ``path``."""
        return Path(path).is_symlink()

    def is_inside(self, path: PurePath, name: str) -> bool:
        """Return True if a file of a checkpoint is a regular one inside it. See :meth:`Storage.is_inside`."""
        pure = PurePosixPath(name)
        linked = any(Path(path, each).is_symlink() for each in (pure, *pure.parents[:-1]))
        return not linked and Path(file_path(path, self.info(path).kind, name)).is_file()

    def check_plain(self, path: PurePath) -> None:
        """Check that a directory holds only regular files and directories. See :meth:`Storage.check_plain`."""
        check_plain(Path(path))

    @contextmanager
    def local(self, path: PurePath) -> Iterator[Path]:
        """Yield the path itself, made absolute: some readers, such as Orbax, accept no other."""
        yield Path(path).absolute()

    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Claim the paths of a template. See :meth:`Storage.claim`."""
        return LocalClaim.take(user, Path(directory), template, leave_lock=leave_lock)

    def event_log(self, directory: PurePath) -> LocalEventLog:
        """Return the log of a run. See :meth:`Storage.event_log`."""
        return LocalEventLog(Path(directory))


def _info(found: os.stat_result, kind: Kind) -> Info:
    mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
    return Info(kind, found.st_size, found.st_mtime_ns, mark)


def _kind(entry: os.DirEntry[str]) -> Literal["file", "directory"] | None:
    if entry.is_file():
        return "file"
    return "directory" if entry.is_dir() else None
