"""One save, from the model to a checkpoint that is visible and durable."""

import logging
import sys
import threading
import time
import warnings
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
from .._snapshot import copier, staging, state_copy
from .._snapshot.state_copy import NotCopiedError
from .._storage import Location, Stage
from .._threads import cores, importing
from . import writer
from .all_write import with_others
from .parts import with_parts

_LOGGER = logging.getLogger("lastgood")


@dataclass(frozen=True)
class SaveStats:
    """The cost of one save; all times are in seconds.

    Attributes:
        path: The path of the checkpoint.
        size: Its length in bytes.
        wait: How long training waited for the previous save.
        snapshot: How long training waited for its state to be copied.
        write: How long writing took. Training continues meanwhile, unless stock Keras writes the format or
            ``background=False``.
        fsync: How long it then took until the checkpoint was durable and visible.
        shared: Bytes that were not written because an earlier checkpoint has the same ones on the disk.
    """

    path: str
    size: int
    wait: float
    snapshot: float
    write: float
    fsync: float
    shared: int = 0

    def __str__(self) -> str:
        """Return the figures as one readable line."""
        shared = f" ({self.shared / 1e6:.1f} MB of it shared)" if self.shared else ""
        return (
            f"{self.size / 1e6:.1f} MB{shared}, waited {self.wait:.3f} s, snapshot {self.snapshot:.3f} s, "
            f"write {self.write:.3f} s, fsync {self.fsync:.3f} s"
        )


class Save:
    """One save that has begun.

    Attributes:
        path: The path of the checkpoint, as the user wrote it.
        at: The same path, as a location.
        record: The record of the checkpoint.
        best: The best monitored value once the save is durable; None if it does not change.
        note: What the user should know about how it is saved; empty if nothing.
        is_elsewhere: Whether the model's own method has saved to other paths, and nothing to this one.
        begun: Whether writing has begun; it then always ends.
        size: Bytes to write; 0 if that is not known beforehand.
        written: Bytes written so far.
        stats: The cost, once the save is durable.
        error: The exception, if the save failed.
    """

    def __init__(self, path: str, at: Location, record: Record, best: float | None = None) -> None:
        """Create a save with nothing written yet."""
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
        """Return the save itself: a copy of a callback cannot begin it again."""
        return self

    def count(self, written: int) -> None:
        """Note how many bytes have been written."""
        self.written = written

    @property
    def costs(self) -> dict[str, float]:
        """The cost, by name; empty until the save is durable."""
        names = ("size", "shared", "wait", "snapshot", "write", "fsync")
        return {} if self.stats is None else {name: getattr(self.stats, name) for name in names}

    @property
    def is_durable(self) -> bool:
        """Whether the save has succeeded."""
        return self._done.is_set() and self.error is None

    def end(self) -> None:
        """Note that the save is durable or has failed."""
        self._done.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds until the save is durable or has failed; return whether it has ended."""
        return self._done.wait(timeout)


OnCommit = Callable[[Save], None]
"""Called in the writer's thread with a save whose checkpoint is durable; must not raise."""


class Saver:
    """The saves of one callback or loop, in order: a snapshot in the hook, then writing while training continues.

    Attributes:
        stats: The cost of each durable save, in order; the last thousand.
        format: The format of the next save.
        publishes: Whether checkpoints become visible: of several processes that train in lockstep, one publishes.
    """

    def __init__(self, file_format: Format, on_commit: OnCommit, on_end: OnCommit, *, background: bool) -> None:
        """Create a saver for one format.

        Args:
            file_format: The format.
            on_commit: Called with each durable save, before the save counts as ended.
            on_end: Called with each durable save, after the save has ended.
            background: Whether training continues while a snapshot is written.
        """
        self.stats: deque[SaveStats] = deque(maxlen=1000)
        self.publishes = True
        self.format = file_format
        self._on_commit = on_commit
        self._on_end = on_end
        self._background = background
        self._unreported: deque[Save] = deque()
        self._has_warned = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy in another process, which cannot use the unreported saves."""
        return {**vars(self), "_unreported": deque()}

    def prepare(self, adapter: ModelAdapter, path: str, training: Training, *, at_once: bool = False) -> None:
        """Plan the file and make the staging buffer, so that the first save costs no more than the others.

        Args:
            adapter: The model that will be saved.
            path: The path of the checkpoint, for error messages.
            training: Returns the training state.
            at_once: Whether to wait until the buffer is ready, because the first save may come with the first step.

        Raises:
            Exception: The model cannot be saved: its own code or Keras raised this. A note names the path.
        """
        adapter.build_optimizer()
        if self.format.own_save(adapter) is not None:
            return
        with _explaining(path), importing:
            copier(adapter.backend())  # import its module now rather than at the first save
            size = self.format.prepare(adapter, training)
        with _explaining(path), writer.turn_if_free() as free:  # otherwise a save under way uses the buffer
            wanted = size and free and staging.has_room(size)
            ready = staging.prepare(size, threads=cores() if at_once else 2) if wanted else None
        if ready is not None and at_once:
            ready.wait()

    def save(self, adapter: ModelAdapter, save: Save, training: Training, receiver: Receiver | None = None) -> None:
        """Save a model. Its state is copied before this returns; :meth:`ended` yields the outcome.

        Args:
            adapter: The model.
            save: The save, which has not begun yet.
            training: Returns the training state.
            receiver: Receives the parts that other processes hold; None if this process holds the whole model.

        Raises:
            ArgumentError: The format cannot hold the model.
            SaveError: Something that must not be replaced is at the path.
            Exception: The model cannot be saved: its own code or Keras raised this. A note names the path.
        """
        self.format.check_model(adapter)
        if save.at.storage.answers_at_once:
            self.format.check_replaceable(save.at)
        asked = time.perf_counter()
        with writer.turn():
            started = time.perf_counter()
            with _explaining(save.path):
                snapshot = self._snapshot(adapter, save, training)
                if receiver and self.format.all_write:
                    snapshot = with_others(snapshot, adapter, self.format, receiver, save.at)
                elif receiver:
                    snapshot = with_parts(snapshot, adapter, receiver)
                windowed = receiver is None and save.at.storage.writes_in_order and self._lacks_room(snapshot)
                if windowed:
                    snapshot.copy.window = state_copy.WINDOW
                if not windowed and not (self._background and snapshot.copy.worth_following):
                    snapshot.copy.run()
            save.note, save.size = snapshot.note, snapshot.size
            writing = _Writing(self, save, snapshot, (asked, started))
            try:
                self._unreported.append(save)
                if snapshot.live:
                    writing.write()
                writer.run(writing.run, background=self._background or windowed)
                with _explaining(save.path):
                    snapshot.copy.run()
                if not self._background:
                    save.wait()
            except BaseException:  # an interrupt: the writer ends a save that is copied and begun, and drops any other
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

    def _lacks_room(self, snapshot: Snapshot) -> bool:
        """Return True, with a warning the first time, if there is no room in memory for a copy of the state."""
        if not (snapshot.copy.worth_following and staging.lacks_room()):
            return False
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"There is no room in memory for a copy of the model's state ({snapshot.size / 1e6:.0f} MB), so "
                f"training waits while it is written, {state_copy.WINDOW / 1e6:.0f} MB at a time.",
                stacklevel=2,
            )
        return True

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
        """Call ``on_end`` with a save that is durable and has ended."""
        self._on_end(save)

    def failed(self, save: Save, error: Exception) -> None:
        """Keep the error of a save until the next hook reports it."""
        save.error = _explained(error, save.path)
        save.error.__cause__ = error if save.error is not error else error.__cause__
        if self._background and not isinstance(error, NotCopiedError):
            _LOGGER.error("%s", save.error)  # the next hook may never come

    @property
    def under_way(self) -> Save | None:
        """The save that has not ended yet; None if all have."""
        return next((save for save in self._unreported if not save.wait(0)), None)

    @property
    def unreported(self) -> tuple[Save, ...]:
        """The saves that :meth:`ended` has not yielded yet."""
        return tuple(self._unreported)

    def wait(self) -> None:
        """Wait until all saves have ended."""
        for save in list(self._unreported):
            save.wait()

    def wait_for_calls(self) -> None:
        """Wait until ``on_end`` has returned for each save; return at once if ``on_end`` calls this."""
        writer.flush()

    def ended(self) -> Iterator[Save]:
        """Yield each save that has ended, once."""
        while self._unreported and self._unreported[0].wait(0):
            yield self._unreported.popleft()


class _Writing:
    """The second half of a save: write a snapshot, then commit it. Errors are kept in the save."""

    def __init__(self, saver: Saver, save: Save, snapshot: Snapshot, began: tuple[float, float]) -> None:
        """Keep the snapshot to write; ``began`` is when the save was requested, and when its turn came."""
        self._saver = saver
        self._save = save
        self._snapshot = snapshot
        self._began = began
        self._stack = ExitStack()
        self._stage: Stage | None = None

    def run(self) -> None:
        """Write unless that is done, commit, and end the save."""
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
                self._saver.format.check_replaceable(self._save.at)  # only directories can collide in a bucket
            stage = self._stack.enter_context(self._saver.stage(self._save))
            self._snapshot.write(stage, self._save.count)
            self._stage = stage

    def _commit(self, stage: Stage) -> None:
        """Complete the stage, and make it durable and visible."""
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
            self._save.error = error  # in the writer's thread nothing else would report it
            self._save.begun = False  # in a foreground save, save() raises it and drops the save
            self._save.end()
            raise

    def abandon(self) -> None:
        """Remove what was written, if it is not committed; call this while an exception is handled."""
        if self._snapshot.copy.window:
            self._snapshot.copy.give_up()  # it waits for this
        self._stage = None
        self._stack.pop_all().__exit__(*sys.exc_info())


def _between(*times: float) -> Iterator[float]:
    """Yield the seconds from each time to the next; the last one is now."""
    return (after - before for before, after in pairwise([*times, time.perf_counter()]))


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    """Raise exceptions from the block as users should see them."""
    try:
        yield
    except Exception as error:
        explained = _explained(error, path)
        if explained is error:
            raise
        raise explained from error


def _explained(error: Any, path: str) -> Any:
    """Return ``error`` as users should see it: with the path, and as a SaveError if the system refused."""
    if isinstance(error, StoreError) or (isinstance(error, Exception) and not isinstance(error, LastgoodError)):
        if is_system_error(error):
            return SaveError.during("save the checkpoint", path, error)
        error.add_note(f"This happened while lastgood saved the checkpoint {path!r}; it was not written.")
    return error
