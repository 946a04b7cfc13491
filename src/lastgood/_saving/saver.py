"""One save, from the model to a checkpoint that is visible and durable."""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .._bytes.training_block import Training
from .._errors import LastgoodError, SaveError, StoreError, is_system_error
from .._formats import Format, Snapshot, own_save
from .._formats.base import FileFormat, to_bytes
from .._group import Receiver
from .._keras import ModelAdapter
from .._record import Record
from .._snapshot import copier, staging
from .._snapshot.state_copy import NotCopiedError
from .._storage import Location, Stage
from .._threads import cores, importing
from . import writer
from .parts import with_parts

_LOGGER = logging.getLogger("lastgood")


@dataclass(frozen=True)
class SaveStats:
    """What one save cost; all times are in seconds.

    Attributes:
        path: Where the checkpoint is.
        size: Its length in bytes.
        wait: How long training waited for the save before it.
        snapshot: How long training waited for the copy of its state.
        write: How long the writing took; training goes on meanwhile, unless stock Keras writes the format, or with
            ``background=False``.
        fsync: How long it took after that until the checkpoint was durable and visible.
        shared: Bytes of it that were not written, since an earlier checkpoint has the same ones on the disk.
    """

    path: str
    size: int
    wait: float
    snapshot: float
    write: float
    fsync: float
    shared: int = 0

    def __str__(self) -> str:
        """Return the figures as a line for people."""
        shared = f" ({self.shared / 1e6:.1f} MB of it shared)" if self.shared else ""
        return (
            f"{self.size / 1e6:.1f} MB{shared}, waited {self.wait:.3f} s, snapshot {self.snapshot:.3f} s, "
            f"write {self.write:.3f} s, fsync {self.fsync:.3f} s"
        )


class Save:
    """One save that has begun.

    Attributes:
        path: Where the checkpoint will be, as the user wrote it.
        at: The same place.
        record: What is known of it.
        best: What the best monitored value becomes when it is durable; None if it stays.
        note: What the user should know about how it is saved; empty if nothing.
        is_elsewhere: Whether the model's own method has saved to places of its own, and nothing to this one.
        begun: Whether the writing has begun, and will end.
        size: Bytes to be written; 0 where that is not known beforehand.
        written: Bytes written so far.
        stats: What it cost, once it is durable.
        error: Why it failed, if it did.
    """

    def __init__(self, path: str, at: Location, record: Record, best: float | None = None) -> None:
        """Begin with nothing written."""
        self.path = path
        self.at = at
        self.record = record
        self.best = best
        self.note = ""
        self.is_elsewhere = False
        self.begun = False
        self.size = 0
        self.written = 0
        self.stats: SaveStats | None = None
        self.error: BaseException | None = None
        self._done = threading.Event()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Save":
        """Return the save itself: a copy of a callback cannot begin what has begun."""
        return self

    def count(self, written: int) -> None:
        """Note how many bytes have been written."""
        self.written = written

    @property
    def costs(self) -> dict[str, float]:
        """What it cost, by name; nothing before it is durable."""
        names = ("size", "shared", "wait", "snapshot", "write", "fsync")
        return {} if self.stats is None else {name: getattr(self.stats, name) for name in names}

    @property
    def is_durable(self) -> bool:
        """Whether it has ended well."""
        return self._done.is_set() and self.error is None

    def end(self) -> None:
        """Note that it is durable, or has failed."""
        self._done.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is durable or has failed, at most ``timeout`` seconds; return whether it is or has."""
        return self._done.wait(timeout)


OnCommit = Callable[[Save], None]
"""Called in the writer's thread with a save whose checkpoint is durable; raises nothing."""


class Saver:
    """The saves of one callback or loop, in order: a snapshot at the hook, the writing while training goes on.

    Attributes:
        stats: What each save cost that is durable, in order; the last thousand.
        format: The format of the next save.
        publishes: Whether what is written becomes visible: of several processes that train in step, one publishes.
    """

    def __init__(self, file_format: Format, on_commit: OnCommit, on_end: OnCommit, *, background: bool) -> None:
        """Save in one format.

        Args:
            file_format: The format.
            on_commit: Called with each save before anybody hears that it has ended.
            on_end: Called after that.
            background: Whether training goes on while a snapshot is being written.
        """
        self.stats: deque[SaveStats] = deque(maxlen=1000)
        self.publishes = True
        self.format = file_format
        self._on_commit = on_commit
        self._on_end = on_end
        self._background = background
        self._unreported: deque[Save] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a process that gets a copy can use."""
        return {**vars(self), "_unreported": deque()}

    def prepare(self, adapter: ModelAdapter, path: str, training: Training, *, at_once: bool = False) -> None:
        """Plan the file and make the staging buffer, so that the first save costs no more than the rest.

        Args:
            adapter: The model that will be saved.
            path: Where to, for an error's text.
            training: Returns the training state.
            at_once: Whether the first save may come with the first step: then this returns when the buffer is ready.

        Raises:
            Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
        """
        adapter.build_optimizer()
        if self.format.own_save(adapter) is not None:
            return
        with _explaining(path), importing:
            copier(adapter.backend())  # its module is imported now rather than at the first save
            size = self.format.prepare(adapter, training)
        with _explaining(path), writer.turn_if_free() as free:  # else the save that is under way has the buffer
            ready = staging.prepare(size, threads=cores() if at_once else 2) if size and free else None
        if ready is not None and at_once:
            ready.wait()

    def save(self, adapter: ModelAdapter, save: Save, training: Training, receiver: Receiver | None = None) -> None:
        """Save a model: its state is copied before this returns, and :meth:`ended` gives the outcome.

        Args:
            adapter: The model.
            save: The save, not yet begun.
            training: Returns the training state.
            receiver: Takes what other processes have of the model; None if this one has it whole.

        Raises:
            ArgumentError: The format cannot hold the model.
            SaveError: Something that must not be replaced is at the path.
            Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
        """
        self.format.check_model(adapter)
        if save.at.storage.answers_at_once:
            self.format.check_replaceable(save.at)
        asked = time.perf_counter()
        with writer.turn():
            started = time.perf_counter()
            with _explaining(save.path):
                snapshot = self._snapshot(adapter, save, training)
                snapshot = with_parts(snapshot, adapter, receiver) if receiver else snapshot
                if not (self._background and snapshot.copy.worth_following):
                    snapshot.copy.run()
            save.note, save.size = snapshot.note, snapshot.size
            writing = _Writing(self, save, snapshot, (asked, started))
            try:
                self._unreported.append(save)
                if snapshot.live:
                    writing.write()
                writer.run(writing.run, background=self._background)
                with _explaining(save.path):
                    snapshot.copy.run()
            except BaseException:  # an interrupt: what the writer has begun it ends, and what it has not it never will
                if snapshot.copy.give_up() or not save.begun:
                    self._unreported.remove(save)
                    writer.flush()
                    writing.abandon()
                raise

    def _snapshot(self, adapter: ModelAdapter, save: Save, training: Training) -> Snapshot:
        own = self.format.own_save(adapter)
        if own is None:
            return self.format.snapshot(adapter, save.record, training)
        return own_save.snapshot(own, save.at, save.record, to_bytes(adapter, training([])))

    def stage(self, save: Save) -> Any:
        """Return the stage of a save."""
        return save.at.storage.stage(save.at.path, self.format.suffix, publish=self.publishes)

    def committed(self, save: Save, stats: SaveStats) -> None:
        """Note that a save is durable."""
        save.stats = stats
        self.stats.append(stats)
        if not save.is_elsewhere:
            self._on_commit(save)

    def ended_well(self, save: Save) -> None:
        """Call what is to be called after a save that is durable."""
        self._on_end(save)

    def failed(self, save: Save, error: Exception) -> None:
        """Keep the error of a save until the next hook."""
        save.error = _explained(error, save.path)
        save.error.__cause__ = error if save.error is not error else error.__cause__
        if self._background and not isinstance(error, NotCopiedError):
            _LOGGER.error("%s", save.error)  # the next hook may never come

    @property
    def under_way(self) -> Save | None:
        """The save that is not durable yet; None if all are."""
        return next((save for save in self._unreported if not save.wait(0)), None)

    @property
    def unreported(self) -> tuple[Save, ...]:
        """The saves that :meth:`ended` has not given yet."""
        return tuple(self._unreported)

    def wait(self) -> None:
        """Return when all saves have ended."""
        for save in list(self._unreported):
            save.wait()

    def wait_for_calls(self) -> None:
        """Return when what is called after the saves has returned, unless it is what asks."""
        writer.flush()

    def ended(self) -> Iterator[Save]:
        """Yield each save that has ended, once."""
        while self._unreported and self._unreported[0].wait(0):
            yield self._unreported.popleft()


class _Writing:
    """The second half of a save: a snapshot is written, then committed. What goes wrong is kept in the save."""

    def __init__(self, saver: Saver, save: Save, snapshot: Snapshot, began: tuple[float, float]) -> None:
        """Take what is to be written; ``began`` is when the save was asked for, and when its turn came."""
        self._saver = saver
        self._save = save
        self._snapshot = snapshot
        self._began = began
        self._stack = ExitStack()
        self._stage: Stage | None = None

    def run(self) -> None:
        """Do what is left to do."""
        self._save.begun = True
        if self._stage is None and self._save.error is None:
            self.write()
        if self._stage is not None:
            self._commit(self._stage)
        self._save.end()
        if self._save.is_durable and not self._save.is_elsewhere:
            self._saver.ended_well(self._save)

    def write(self) -> None:
        """Write to a stage. If the snapshot is live, this reads the model."""
        with self._keeping_errors():
            if not (self._save.at.storage.answers_at_once or isinstance(self._saver.format, FileFormat)):
                self._saver.format.check_replaceable(self._save.at)  # where a file and a directory cannot meet
            stage = self._stack.enter_context(self._saver.stage(self._save))
            self._snapshot.write(stage, self._save.count)
            self._stage = stage

    def _commit(self, stage: Stage) -> None:
        """Complete what was written, and make it durable and visible."""
        save, snapshot = self._save, self._snapshot
        with self._keeping_errors():
            snapshot.seal(stage)
            size, written = stage.size(), time.perf_counter()
            self._stack.close()
            save.is_elsewhere = stage.withdrawn
            if self._saver.publishes and not save.is_elsewhere:
                snapshot.after(save.at)
            wait, copying, write, fsync = _between(*self._began, snapshot.copy.ended, written)
            self._saver.committed(save, SaveStats(save.path, size, wait, copying, write, fsync, stage.shared))

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is reported at the next hook
            self.abandon()
            self._saver.failed(self._save, error)
        except BaseException as error:
            self.abandon()
            self._save.error = error  # in the writer's thread nobody else would hear of it
            self._save.begun = False  # whoever interrupts training, which waits for this, knows of it
            self._save.end()
            raise

    def abandon(self) -> None:
        """Remove what was written, if it is not committed; called while an exception is handled."""
        self._stage = None
        self._stack.pop_all().__exit__(*sys.exc_info())


def _between(*times: float) -> Iterator[float]:
    """Yield the seconds from each time to the next, the last of which is now."""
    return (after - before for before, after in pairwise([*times, time.perf_counter()]))


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    """Raise what is raised in the block as what the user gets to see."""
    try:
        yield
    except Exception as error:
        explained = _explained(error, path)
        if explained is error:
            raise
        raise explained from error


def _explained(error: Any, path: str) -> Any:
    """Return ``error`` as what the user gets to see: with the path, and as a SaveError where the system refused."""
    if isinstance(error, StoreError) or (isinstance(error, Exception) and not isinstance(error, LastgoodError)):
        if is_system_error(error):
            return SaveError.during("save the checkpoint", path, error)
        error.add_note(f"This happened while lastgood saved the checkpoint {path!r}; it was not written.")
    return error
