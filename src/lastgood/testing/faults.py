"""A storage that wraps another one and fails as planned."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .._errors import ArgumentError
from .._storage import Info, Stage, Storage, StoredFile, groups
from .._storage.base import Claim, Entry, EventLog, Kind, file_path
from .._storage.durable import sync_file
from .._storage.locate import wrapped
from .._storage.stages import LocalStage

POINTS = {
    "stage": "before a save; nothing of it exists yet",
    "write": "before the checkpoint is written to its temporary path",
    "commit": "the checkpoint is durable, but not visible yet",
    "reply": "the checkpoint is visible and durable, but the save has not returned yet",
    "discard": "before a checkpoint is deleted",
    "discarded": "the checkpoint is deleted, but the deletion has not returned yet",
    "put": "before a small file, such as TensorFlow's `checkpoint`, is written",
    "rename": "before a damaged checkpoint is renamed",
    "reclaim": "before leftovers of dead processes are removed",
    "check_writable": "before it is checked whether a directory is writable",
    "free_space": "before free space is queried",
    "info": "before it is queried what is at a path",
    "entries": "before a directory is listed",
    "open": "before a checkpoint's file is opened for reading",
    "claim": "before a template's paths are claimed for this process",
}
"""The points where a fault can occur, and the state there."""


class Crash(BaseException):
    """A simulated crash, for tests that continue in the same process; ``except Exception`` does not catch it.

    The process survives, so unfinished files are removed. To test what a killed process leaves, kill one: use
    ``lambda: os.kill(os.getpid(), signal.SIGKILL)`` as the fault.
    """


@dataclass(frozen=True)
class Fault:
    """One planned failure.

    Attributes:
        at: The point where it occurs: one of :data:`POINTS`.
        what: An exception to raise there, such as ``OSError(errno.ENOSPC, "…")`` or ``Crash()``; or a function to call
            there, to wait, to kill the process, or to inspect the state.
        nth: The pass through that point at which it occurs, counted from 1 for each storage; None for every pass.

    Raises:
        ArgumentError: A ValueError: the point does not exist, or ``nth`` is less than 1.
    """

    at: str
    what: BaseException | Callable[[], object]
    nth: int | None = 1

    def __post_init__(self) -> None:
        if self.at not in POINTS:
            raise ArgumentError(f"Unrecognized point: {self.at!r}. Expected one of: {', '.join(POINTS)}.")
        if self.nth is not None and self.nth < 1:
            raise ArgumentError(f"Unrecognized nth: {self.nth!r}. Expected a positive integer, or None.")

    def happen(self) -> None:
        """Raise the exception, or call the function."""
        if isinstance(self.what, BaseException):
            raise self.what.with_traceback(None)  # it may be raised again: drop the old traceback
        self.what()


class FaultyStorage(Storage):
    """A storage that passes calls on to another one and injects faults.

    Attributes:
        storage: The other storage, which does all the work.
        faults: The planned failures.
    """

    def __init__(self, storage: Storage, *faults: Fault) -> None:
        """Wrap a storage and plan its failures."""
        self.storage = storage
        self.faults = faults
        self.answers_at_once = storage.answers_at_once
        self.reads_at_once = storage.reads_at_once
        self.writes_in_order = storage.writes_in_order
        self._passed: Counter[str] = Counter()
        self._counting = threading.Lock()

    def parse(self, text: str) -> PurePath:
        """Parse as the other storage does."""
        return self.storage.parse(text)

    def text_of(self, path: PurePath) -> str:
        """Name a path as the other storage does."""
        return self.storage.text_of(path)

    def flaw_of(self, text: str) -> str:
        """Find flaws in paths as the other storage does."""
        return self.storage.flaw_of(text)

    @contextmanager
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> Iterator[Stage]:
        """Stage as the other storage does, unless a fault comes in between."""
        self._pass("stage")
        with self.storage.stage(target, suffix, publish=publish) as stage:
            self._pass("write")
            yield stage
            for name in stage.files() if isinstance(stage, LocalStage) else ():
                sync_file(Path(file_path(stage.path, _kind_of(stage), name)))
            self._pass("commit")
        self._pass("reply")

    def join(self, target: PurePath, admission: str) -> AbstractContextManager[Stage]:
        """Join as the other storage does."""
        return self.storage.join(target, admission)

    def put(self, path: PurePath, content: bytes) -> None:
        """Write as the other storage does, unless a fault comes first."""
        self._pass("put")
        self.storage.put(path, content)

    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> Sequence[PurePath]:
        """Reclaim as the other storage does, unless a fault comes first."""
        self._pass("reclaim")
        return self.storage.reclaim(directory, owns)

    def discard(self, path: PurePath) -> None:
        """Discard as the other storage does, unless a fault comes in between."""
        self._pass("discard")
        self.storage.discard(path)
        self._pass("discarded")

    def rename(self, path: PurePath, target: PurePath) -> None:
        """Rename as the other storage does, unless a fault comes first."""
        self._pass("rename")
        self.storage.rename(path, target)

    def check_writable(self, directory: PurePath) -> None:
        """Check as the other storage does, unless a fault comes first."""
        self._pass("check_writable")
        self.storage.check_writable(directory)

    def check_overwritable(self, path: PurePath) -> None:
        """Check as the other storage does."""
        self.storage.check_overwritable(path)

    def limits(self, directory: PurePath, *, swaps: bool) -> Sequence[str]:
        """Answer as the other storage does."""
        return self.storage.limits(directory, swaps=swaps)

    def free_space(self, directory: PurePath) -> int | None:
        """Answer as the other storage does, unless a fault comes first."""
        self._pass("free_space")
        return self.storage.free_space(directory)

    def info(self, path: PurePath) -> Info:
        """Look as the other storage does, unless a fault comes first."""
        self._pass("info")
        return self.storage.info(path)

    def entries(self, directory: PurePath) -> Sequence[Entry]:
        """List as the other storage does, unless a fault comes first."""
        self._pass("entries")
        return self.storage.entries(directory)

    def open(self, path: PurePath) -> StoredFile:
        """Open as the other storage does, unless a fault comes first."""
        self._pass("open")
        return self.storage.open(path)

    def files(self, path: PurePath) -> Sequence[str]:
        """List a checkpoint's files as the other storage does."""
        return self.storage.files(path)

    def is_link(self, path: PurePath) -> bool:
        """Look as the other storage does."""
        return self.storage.is_link(path)

    def is_inside(self, path: PurePath, name: str) -> bool:
        """Look as the other storage does."""
        return self.storage.is_inside(path, name)

    def check_plain(self, path: PurePath) -> None:
        """Check as the other storage does."""
        self.storage.check_plain(path)

    def local(self, path: PurePath) -> AbstractContextManager[Path]:
        """Return the local path from the other storage, unless a fault comes first."""
        self._pass("open")
        return self.storage.local(path)

    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Claim as the other storage does, unless a fault comes first."""
        self._pass("claim")
        return self.storage.claim(directory, template, user, leave_lock=leave_lock)

    def event_log(self, directory: PurePath) -> EventLog:
        """Return the log of the other storage."""
        return self.storage.event_log(directory)

    def _pass(self, point: str) -> None:
        """Count a pass through a point, and trigger the faults planned for it."""
        with self._counting:
            self._passed[point] += 1
            now = self._passed[point]
        for fault in self.faults:
            if fault.at == point and fault.nth in (None, now):
                fault.happen()


def _kind_of(stage: Stage) -> Kind:
    """Return the kind of checkpoint that a stage becomes."""
    if stage.path.is_dir():
        return "directory"
    return "group" if groups.is_group(stage.path) else "file"


@contextmanager
def faults(*planned: Fault) -> Iterator[None]:
    """Inject faults into each ``ModelCheckpoint`` and ``Checkpointer`` that is created in the block.

    They keep the faults after the block ends. Each counts its passes separately.

    Args:
        *planned: The planned failures.
    """
    with wrapped(lambda storage: FaultyStorage(storage, *planned)):
        yield
