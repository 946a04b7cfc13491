"""The interface of every storage: write a checkpoint atomically, read it, list it, and manage a run."""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .._errors import ArgumentError

Kind = Literal["file", "directory", "group"]
"""The kinds of checkpoint; a group is several files whose names begin with its path: see ``groups``."""

TEMPORARY_PREFIX = ".lastgood-tmp-"
NOTES = ".lastgood"
"""The directory in a run that holds its journal and its locks."""

BLOCK = 4096
"""The block size in bytes. Direct writes need whole blocks, and two files can share only whole blocks."""

_CHUNK = 1024 * 1024


class Span(NamedTuple):
    """Bytes from ``start`` up to ``stop``."""

    start: int
    stop: int


class Extent(NamedTuple):
    """The ``length`` bytes that start at ``offset``."""

    offset: int
    length: int


Seal = Callable[[], tuple[int, list[Extent]]]
"""Completes a file in memory; returns its length and the extents that it filled in."""

Report = Callable[[int], None]
"""Called with the number of bytes written so far."""


def unreported(written: int) -> None:
    """Ignore the number: a :data:`Report` that does nothing."""
    del written


WaitFor = Callable[[int], None]
"""Returns when the file in memory is complete up to an offset; raises if it never will be."""


Passed = Callable[[int], None]
"""Takes note that everything before an offset is written."""


@dataclass(frozen=True)
class Image:
    """A file in memory, complete except for its digests, which are computed while the rest is written.

    Attributes:
        memory: The bytes of the file; page-aligned and padded to whole blocks.
        body: The part that can be written before the file is sealed.
        seal: Completes the file.
        wait_for: Waits until the state has been copied into it up to an offset.
        passed: Called with offsets, in order, once everything before them is written: it digests and drops that. None
            if all of the file stays in memory.
    """

    memory: npt.NDArray[np.uint8]
    body: Span
    seal: Seal
    wait_for: WaitFor
    passed: Passed | None = None


@dataclass(frozen=True)
class Info:
    """What a storage knows about the checkpoint at a path.

    Attributes:
        kind: The kind of checkpoint.
        size: The size of the file in bytes; for a directory or a group, of the entry that represents it.
        modified_ns: When it was last written, in nanoseconds since 1970.
        mark: A value that changes when the checkpoint is replaced.
    """

    kind: Kind
    size: int
    modified_ns: int
    mark: Hashable


class Entry(NamedTuple):
    """One name in a directory.

    Attributes:
        name: The name.
        kind: The kind, after following links; None for a pipe, a device or a broken link.
        is_link: Whether it is a symbolic link.
        info: Information about a file, if the listing includes it at no extra cost.
    """

    name: str
    kind: Literal["file", "directory"] | None
    is_link: bool = False
    info: Info | None = None


class StoredFile(ABC):
    """An open file of known length, read by offset and from any thread.

    Attributes:
        path: Its path or URL, as a user would write it.
        size: Its length in bytes when it was opened.
    """

    path: str
    size: int

    @abstractmethod
    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer``, any contiguous memory, with the bytes that start at ``offset``.

        Raises:
            OSError: The file is too short, or the storage failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> "StoredFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``.

        Raises:
            OSError: The file is too short, or the storage failed.
        """
        content = bytearray(length)
        self.read_into(content, offset)
        return bytes(content)

    def part(self, offset: int, length: int) -> memoryview:
        """Return ``length`` bytes at ``offset`` as memory that does not change.

        Raises:
            OSError: The file is too short, or the storage failed.
        """
        return memoryview(self.read(offset, length))

    def parts(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield the bytes from ``start`` to ``stop`` in parts; each part is valid until the next one.

        Raises:
            OSError: The file is too short, or the storage failed.
        """
        buffer = memoryview(bytearray(min(_CHUNK, stop - start)))
        for at in range(start, stop, _CHUNK):
            part = buffer[: stop - at]
            self.read_into(part, at)
            yield part

    def window(self, start: int, size: int) -> io.BufferedReader:
        """Return a part of the file as a file object."""
        return io.BufferedReader(self.raw_window(start, size))

    def raw_window(self, start: int, size: int) -> io.RawIOBase:
        """Return a part of the file as a file object without a buffer."""
        return _Window(self, start, size)


class _Window(io.RawIOBase):
    def __init__(self, file: StoredFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.read_into(view, self._start + self._at)
        self._at += len(view)
        return len(view)


class Stage(ABC):
    """A checkpoint that is being written; it becomes visible when the block of :meth:`Storage.stage` ends.

    File names are relative to the checkpoint: empty for a checkpoint that is one file, ``assets/vocabulary.txt`` in a
    directory, ``.index`` in a group.

    Attributes:
        target: The path at which it will appear.
        withdrawn: Whether to commit nothing, because the checkpoint was written elsewhere.
        shared: The number of bytes that share blocks with an earlier file and were not written again.
        elsewhere: The length in bytes and the digest of each file that other processes have added, by name.
    """

    target: PurePath
    withdrawn: bool = False
    shared: int = 0
    elsewhere: Mapping[str, tuple[int, int]] = MappingProxyType({})

    @property
    @abstractmethod
    def path(self) -> Path:
        """A path in the local file system for writers that need one; what they write there becomes the checkpoint."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a small file.

        Raises:
            OSError: The storage failed.
        """

    @abstractmethod
    def write_image(self, name: str, image: Image, report: Report) -> None:
        """Write a file from memory.

        Raises:
            OSError: The storage failed.
        """

    @abstractmethod
    def take(self, name: str, content: StoredFile, report: Report) -> None:
        """Write a copy of a file, which must stay open until the block of the stage ends.

        Raises:
            OSError: One of the storages failed.
        """

    def admit(self) -> str:
        """Let other processes add files until the block ends; return what :meth:`Storage.join` needs in them.

        Raises:
            OSError: The storage failed.
            ArgumentError: Other processes cannot reach this storage.
        """
        raise ArgumentError(
            f"Several processes would have to write parts of the checkpoint {os.fspath(self.target)!r}, but only this "
            "one can reach its storage. Save to a directory that all share, or to a bucket."
        )

    def add(self, files: Mapping[str, tuple[int, int]]) -> None:
        """Note the files that other processes have added.

        Args:
            files: The length in bytes and the digest of each, by name.

        Raises:
            OSError: One of them is not there.
        """
        self.elsewhere = files

    @abstractmethod
    def files(self) -> list[str]:
        """Return the names of the files written so far, sorted."""

    @abstractmethod
    def open(self, name: str) -> StoredFile:
        """Open a file that was written."""

    @abstractmethod
    def beside(self) -> Sequence[str]:
        """Return the names in the target's directory."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes written so far."""


class Claim(ABC):
    """The right to save to one template's paths, held until :meth:`release` or the end of the process."""

    @abstractmethod
    def release(self, user: Any) -> None:
        """Give up the claim, unless another user in this process holds it too."""


class EventLog(ABC):
    """A log of lines that several processes can append to at the same time; it stores a run's journal."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "EventLog":
        """Return the log itself. See :class:`Storage`."""
        return self

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether the run has a place for the log."""

    @abstractmethod
    def append(self, line: bytes, *, durable: bool) -> None:
        """Append a line, given without its newline; an incomplete line that a dead process left stays separate.

        If several processes append at the same time, empty lines may appear in between.

        Raises:
            OSError: The storage failed.
        """

    @abstractmethod
    def read(self, offset: int, tail: bytes, most: int) -> tuple[bytes, bool]:
        """Return up to ``most`` bytes at ``offset``, and True, if ``tail`` precedes them.

        Otherwise the log has been replaced: return its first bytes, and False. A log that does not exist reads as
        empty.
        """

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes out of the block, so that none sets a pin while checkpoints are pruned, for example.

        Raises:
            RunInUseError: Another process stayed in its block for too long.
            OSError: The storage failed.
        """


class Storage(ABC):
    """A place for checkpoints: a checkpoint that you find at its path is complete.

    A save is first temporary, then durable, then visible. Paths are those that :meth:`parse` returns. Errors are
    ``OSError``, as the operating system would raise them.

    Attributes:
        answers_at_once: Whether queries are so fast that training may wait for them.
        writes_in_order: Whether a stage writes an :class:`Image` from its beginning to its end, so that what is written
            can be dropped from memory.
        reads_at_once: How many small files are best read at the same time.
    """

    answers_at_once: bool = True
    writes_in_order: bool = False
    reads_at_once: int = 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "Storage":
        """Return the storage itself: copies of a callback, such as one per search trial, save to the same place."""
        return self

    # Paths

    @abstractmethod
    def parse(self, text: str) -> PurePath:
        """Return the path for ``text``, a path or URL of this storage."""

    @abstractmethod
    def text_of(self, path: PurePath) -> str:
        """Return a path as a user would write it; the inverse of :meth:`parse`."""

    def flaw_of(self, text: str) -> str:
        """Return why ``text`` is not a valid path; empty if it is valid."""
        del text
        return ""

    # Writing

    @abstractmethod
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> AbstractContextManager[Stage]:
        """Begin a checkpoint; the end of the block commits it to ``target``, an exception removes it.

        Args:
            target: Where the checkpoint will appear. Missing parent directories are created.
            suffix: The suffix that its writer requires of the temporary path.
            publish: If False, it is removed when the block ends: when several workers write, only one publishes.

        Raises:
            OSError: The storage failed; nothing at ``target`` has changed.
        """

    def join(self, target: PurePath, admission: str) -> AbstractContextManager[Stage]:
        """Add files to a stage of another process, which commits them; they are durable when the block ends.

        Args:
            target: Where the checkpoint will appear.
            admission: What :meth:`Stage.admit` returned there.

        Raises:
            OSError: The storage failed, or this process does not see the stage.
        """
        raise NotImplementedError(f"{type(self).__name__} admits no other process to a stage, not to {admission!r}")

    @abstractmethod
    def put(self, path: PurePath, content: bytes) -> None:
        """Write a small file atomically and durably, replacing an older one."""

    @abstractmethod
    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> Sequence[PurePath]:
        """Remove unfinished files that dead processes left in ``directory``; return what was removed.

        Args:
            directory: The directory; it need not exist.
            owns: Returns whether a name in it is one that this process has claimed, so that no other saves to it. A
                storage that cannot tell which processes are dead leaves other names alone, unless they are old.
        """

    @abstractmethod
    def discard(self, path: PurePath) -> None:
        """Remove a checkpoint, if it is there; a directory disappears atomically."""

    @abstractmethod
    def rename(self, path: PurePath, target: PurePath) -> None:
        """Rename a checkpoint to a path at which nothing exists."""

    @abstractmethod
    def check_writable(self, directory: PurePath) -> None:
        """Check, by writing to it, that ``directory`` is writable or can be created."""

    def check_overwritable(self, path: PurePath) -> None:
        """Raise PermissionError if there is a file at ``path`` that must not be overwritten."""
        del path

    def limits(self, directory: PurePath, *, swaps: bool) -> Sequence[str]:
        """Return the guarantees that checkpoints in ``directory`` lack, one sentence each; empty if none.

        Args:
            directory: The run's directory; it need not exist.
            swaps: Whether checkpoints are directories that replace one another.

        Raises:
            OSError: The storage failed.
        """
        del directory, swaps
        return ()

    @abstractmethod
    def free_space(self, directory: PurePath) -> int | None:
        """Return the free space below ``directory`` in bytes; None if it is unknown."""

    # Reading

    @abstractmethod
    def info(self, path: PurePath) -> Info:
        """Return what is at ``path``.

        Raises:
            FileNotFoundError: There is no file, directory or group there.
        """

    def size(self, path: PurePath) -> int:
        """Return the total size of a checkpoint's files in bytes.

        Raises:
            OSError: There is no checkpoint, or the storage failed.
        """
        info = self.info(path)
        if info.kind == "file":
            return info.size
        return sum(self.info(file_path(path, info.kind, name)).size for name in self.files(path))

    @abstractmethod
    def entries(self, directory: PurePath) -> Sequence[Entry]:
        """Return the entries of ``directory``, in any order.

        Raises:
            OSError: There is no such directory, or the storage failed.
        """

    @abstractmethod
    def open(self, path: PurePath) -> StoredFile:
        """Open a regular file; refuse a pipe or a device."""

    @abstractmethod
    def files(self, path: PurePath) -> Sequence[str]:
        """Return the names of the files that make up a checkpoint, relative to it as in :class:`Stage`, sorted."""

    @abstractmethod
    def is_link(self, path: PurePath) -> bool:
        """Return True if a symbolic link is at ``path``."""

    @abstractmethod
    def is_inside(self, path: PurePath, name: str) -> bool:
        """Return True if a file of a checkpoint is a regular one that is not reached through a symbolic link."""

    @abstractmethod
    def check_plain(self, path: PurePath) -> None:
        """Raise OSError if a directory, which other code will read, holds more than regular files and directories."""

    @abstractmethod
    def local(self, path: PurePath) -> AbstractContextManager[Path]:
        """Give readers that need one a local path to the checkpoint at ``path``, valid until the block ends."""

    # Runs

    @abstractmethod
    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Claim the paths of a template for this process.

        Args:
            directory: The run's directory; it need not exist.
            template: The template, relative to the directory.
            user: The object that claims. When it no longer exists, its claim is released.
            leave_lock: Whether to leave a lock in the directory, for processes on other machines.

        Raises:
            RunInUseError: Another process has claimed them; the message says which.
        """

    @abstractmethod
    def event_log(self, directory: PurePath) -> EventLog:
        """Return the log of the run in ``directory``; nothing is created until a line is appended."""


def file_path(path: PurePath, kind: Kind, name: str) -> PurePath:
    """Return the path of a file of a checkpoint, given its name in the checkpoint."""
    if kind == "group":
        return path.with_name(path.name + name)
    return path / name
