"""What every kind of storage can do: write a checkpoint in one act, read it, list it, and look after a run."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["file", "directory", "group"]
"""What a checkpoint can be; a group is several files whose names begin with its path: see ``groups``."""

TEMPORARY_PREFIX = ".lastgood-tmp-"
NOTES = ".lastgood"
"""The directory of a run that holds its journal and its locks."""

BLOCK = 4096
"""Files are written in blocks of so many bytes: direct writes want that, and blocks are what two files can share."""

_CHUNK = 1024 * 1024


class Span(NamedTuple):
    """Bytes from ``start`` up to ``stop``."""

    start: int
    stop: int


class Extent(NamedTuple):
    """Bytes from ``offset`` on, ``length`` of them."""

    offset: int
    length: int


Seal = Callable[[], tuple[int, list[Extent]]]
"""Completes a file in memory; returns its length, and the places that it filled."""

Report = Callable[[int], None]
"""Called with the number of bytes written so far."""


def unreported(written: int) -> None:
    """Report to nobody."""
    del written


WaitFor = Callable[[int], None]
"""Returns when the file in memory is complete up to a byte; raises if it never will be."""


@dataclass(frozen=True)
class Image:
    """A file that lies in memory, complete but for its digests: they are computed while the rest is written.

    Attributes:
        memory: The file; starts on a page boundary and is as long as the whole blocks that hold it.
        body: The part that can be written at once.
        seal: Completes it.
        wait_for: Waits for the copy of the state into it.
    """

    memory: npt.NDArray[np.uint8]
    body: Span
    seal: Seal
    wait_for: WaitFor


@dataclass(frozen=True)
class Info:
    """What a storage knows of the checkpoint at a path.

    Attributes:
        kind: What it is.
        size: Bytes of the file; of a directory or a group, of the entry that stands for it.
        modified_ns: When it was last written, in nanoseconds since 1970.
        mark: A value that changes when another checkpoint takes its place.
    """

    kind: Kind
    size: int
    modified_ns: int
    mark: Hashable


class Entry(NamedTuple):
    """One name in a directory.

    Attributes:
        name: The name.
        kind: What it is, links followed; None for a pipe, a device, or a link that leads nowhere.
        is_link: Whether it is a symbolic link.
        info: What the listing says of a file, where that costs nothing more.
    """

    name: str
    kind: Literal["file", "directory"] | None
    is_link: bool = False
    info: Info | None = None


class StoredFile(ABC):
    """An open file of known length, read by offset and from any thread.

    Attributes:
        path: Where it is, as you would write it.
        size: Its length in bytes when it was opened.
    """

    path: str
    size: int

    @abstractmethod
    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer``, any contiguous memory, with the bytes from ``offset`` on.

        Raises:
            OSError: The file ends before, or the storage failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> "StoredFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from ``offset`` on.

        Raises:
            OSError: The file ends before, or the storage failed.
        """
        content = bytearray(length)
        self.read_into(content, offset)
        return bytes(content)

    def part(self, offset: int, length: int) -> memoryview:
        """Return the bytes from ``offset`` on, as memory that stays as it is.

        Raises:
            OSError: The file ends before, or the storage failed.
        """
        return memoryview(self.read(offset, length))

    def parts(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield the bytes from ``start`` to ``stop`` in parts; each is valid until the next.

        Raises:
            OSError: The file ends before, or the storage failed.
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
            raise ValueError(f"there is nothing at {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.read_into(view, self._start + self._at)
        self._at += len(view)
        return len(view)


class Stage(ABC):
    """A checkpoint that is being written; it becomes visible when the block of :meth:`Storage.stage` ends.

    Names of files are relative to the checkpoint: empty for a checkpoint that is one file, ``assets/vocabulary.txt``
    in a directory, ``.index`` in a group.

    Attributes:
        target: Where it will appear.
        withdrawn: Whether nothing is to appear: what was to be written has been written elsewhere.
        shared: Bytes of what was written that lay on the disk before, and were not written again.
    """

    target: PurePath
    withdrawn: bool = False
    shared: int = 0

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
        """Write a copy of a file, which has to stay open until the block of the stage has ended.

        Raises:
            OSError: One of the storages failed.
        """

    @abstractmethod
    def files(self) -> list[str]:
        """Return the names of the files written so far, sorted."""

    @abstractmethod
    def open(self, name: str) -> StoredFile:
        """Open a file that was written."""

    @abstractmethod
    def beside(self) -> Sequence[str]:
        """Return the names that lie in the target's directory."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes written so far."""


class Claim(ABC):
    """The right to save to one template's paths, held until :meth:`release` or the end of the process."""

    @abstractmethod
    def release(self, user: Any) -> None:
        """Give up the claim, unless another user in this process holds it too."""


class EventLog(ABC):
    """Lines that several processes append to at once: what a run's journal is kept in."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "EventLog":
        """Return the log itself. See :class:`Storage`."""
        return self

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether the run has a place for it."""

    @abstractmethod
    def append(self, line: bytes, *, durable: bool) -> None:
        """Append a line, without its newline; what a process left half-written before stays a line of its own.

        Where several append at once, an empty line may come between two.

        Raises:
            OSError: The storage failed.
        """

    @abstractmethod
    def read(self, offset: int, tail: bytes, most: int) -> tuple[bytes, bool]:
        """Return up to ``most`` bytes from ``offset`` on, and True, if ``tail`` precedes them.

        Otherwise the log is another one by now: return its first bytes, and False. Nothing can be read of a log that
        does not exist.
        """

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes out of the block, such as a pin while checkpoints are pruned.

        Raises:
            RunInUseError: Another process has stayed in its block all the time.
            OSError: The storage failed.
        """


class Storage(ABC):
    """Temporary, then durable, then visible: what you find at a checkpoint's path is whole, or it is not there.

    Paths are those of :meth:`parse`. Errors are ``OSError``, as the operating system would raise them.

    Attributes:
        answers_at_once: Whether a question takes so little time that training may be held up by it.
        reads_at_once: How many files are best read at once, where they are small.
    """

    answers_at_once: bool = True
    reads_at_once: int = 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "Storage":
        """Return the storage itself: a copy of a callback, as a search makes one a trial, saves to the same place."""
        return self

    # Paths

    @abstractmethod
    def parse(self, text: str) -> PurePath:
        """Return the path that ``text``, a path or a URL of this storage, stands for."""

    @abstractmethod
    def text_of(self, path: PurePath) -> str:
        """Return a path as you would write it; the opposite of :meth:`parse`."""

    def flaw_of(self, text: str) -> str:
        """Return why nothing can be at a path of this text; empty if something can."""
        del text
        return ""

    # Writing

    @abstractmethod
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> AbstractContextManager[Stage]:
        """Begin a checkpoint; leaving the block commits it to ``target``, an exception removes it.

        Args:
            target: Where the checkpoint will appear. Missing parent directories are created.
            suffix: The ending that its writer needs in the temporary path.
            publish: If False, it is removed when the block ends: of several workers that write, one publishes.

        Raises:
            OSError: The storage failed; nothing at ``target`` has changed.
        """

    @abstractmethod
    def put(self, path: PurePath, content: bytes) -> None:
        """Write a small file in one act, durably, in place of an older one."""

    @abstractmethod
    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> Sequence[PurePath]:
        """Remove what dead processes left half-written in ``directory``; return what was removed.

        Args:
            directory: The directory; it need not exist.
            owns: Tells whether a name in it is one that only this process saves to, which has claimed it. A storage
                that cannot tell by itself who is dead leaves alone what is of others, unless it is old.
        """

    @abstractmethod
    def discard(self, path: PurePath) -> None:
        """Remove a checkpoint, if it is there; a directory vanishes in one act."""

    @abstractmethod
    def rename(self, path: PurePath, target: PurePath) -> None:
        """Give a checkpoint another path, at which nothing is."""

    @abstractmethod
    def check_writable(self, directory: PurePath) -> None:
        """Find out by writing whether ``directory`` takes files, or can be created."""

    def check_overwritable(self, path: PurePath) -> None:
        """Raise PermissionError if a file is at ``path`` that must not be written to."""
        del path

    def limits(self, directory: PurePath, *, swaps: bool) -> Sequence[str]:
        """Return what cannot be promised of checkpoints in ``directory``, each as a sentence; nothing if all can.

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
        """Return the bytes that can still be written below ``directory``; None if nobody can say."""

    # Reading

    @abstractmethod
    def info(self, path: PurePath) -> Info:
        """Return what is at ``path``.

        Raises:
            FileNotFoundError: There is no file, directory or group.
        """

    def size(self, path: PurePath) -> int:
        """Return the bytes of all files of a checkpoint.

        Raises:
            OSError: There is none, or the storage failed.
        """
        info = self.info(path)
        if info.kind == "file":
            return info.size
        return sum(self.info(file_path(path, info.kind, name)).size for name in self.files(path))

    @abstractmethod
    def entries(self, directory: PurePath) -> Sequence[Entry]:
        """Return what lies in ``directory``, in any order.

        Raises:
            OSError: There is no such directory, or the storage failed.
        """

    @abstractmethod
    def open(self, path: PurePath) -> StoredFile:
        """Open a plain file; a pipe or a device is refused."""

    @abstractmethod
    def files(self, path: PurePath) -> Sequence[str]:
        """Return the names of the files that make up a checkpoint, relative to it as in :class:`Stage`, sorted."""

    @abstractmethod
    def is_link(self, path: PurePath) -> bool:
        """Return True if a symbolic link is at ``path``."""

    @abstractmethod
    def is_inside(self, path: PurePath, name: str) -> bool:
        """Return True if a checkpoint's file is a plain one that no symbolic link leads out to."""

    @abstractmethod
    def check_plain(self, path: PurePath) -> None:
        """Raise OSError if a directory holds anything but plain files and directories, before others read it."""

    @abstractmethod
    def local(self, path: PurePath) -> AbstractContextManager[Path]:
        """Give a local path to the checkpoint at ``path``, for readers that need one, until the block ends."""

    # Runs

    @abstractmethod
    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Claim the paths of a template for this process.

        Args:
            directory: The run's directory; it need not exist.
            template: The template, below it.
            user: Who claims. A user that no longer exists has released its claim.
            leave_lock: Whether to leave a lock in the directory, for processes on other machines.

        Raises:
            RunInUseError: Another process has claimed them; the message says which.
        """

    @abstractmethod
    def event_log(self, directory: PurePath) -> EventLog:
        """Return the log of the run in ``directory``; nothing is created before something is appended."""


def file_path(path: PurePath, kind: Kind, name: str) -> PurePath:
    """Return where a file of a checkpoint lies, by its name in it."""
    if kind == "group":
        return path.with_name(path.name + name)
    return path / name
