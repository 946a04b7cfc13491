"""One save, from the model to a checkpoint that is visible and durable."""

import logging
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import _frameworks, _writer
from ._errors import LastgoodError, SaveError, is_system_error
from ._formats import Format
from ._formats.base import Snapshot
from ._frameworks import Framework
from ._layout.training_block import Training
from ._policies.monitor import as_scalar
from ._preflight import check_replaceable
from ._record import Record
from ._snapshot import copier, staging
from ._snapshot.taking import NotTakenError
from ._storage import Storage
from ._storage.entries import tree_bytes

_LOGGER = logging.getLogger("lastgood")


@dataclass(frozen=True)
class SaveStats:
    """What one save cost; all times are in seconds.

    Attributes:
        path: Where the checkpoint is.
        size: Its length in bytes.
        wait: How long training waited for the save before it.
        snapshot: How long training waited for the copy of its state.
        write: How long the writing took, behind training's back unless stock Keras writes the format, or with
            ``background=False``.
        fsync: How long it took after that until the checkpoint was durable and visible.
    """

    path: str
    size: int
    wait: float
    snapshot: float
    write: float
    fsync: float

    def __str__(self) -> str:
        """Return the figures as a line for people."""
        return (
            f"{self.size / 1e6:.1f} MB, waited {self.wait:.3f} s, snapshot {self.snapshot:.3f} s, "
            f"write {self.write:.3f} s, fsync {self.fsync:.3f} s"
        )


class Save:
    """One save that has begun.

    Attributes:
        path: Where the checkpoint is to be.
        record: What is known of it.
        note: What the user should know of how it is saved; empty if nothing.
        begun: Whether the writing has begun, and will end.
        size: Bytes to be written; 0 where that is not known beforehand.
        written: Bytes written so far.
        stats: What it cost, once it is durable.
        error: Why it failed, if it did.
    """

    def __init__(self, path: str, record: Record, snapshot: Snapshot) -> None:
        """Begin with nothing written."""
        self.path = path
        self.record = record
        self.note = snapshot.note
        self.begun = False
        self.size = snapshot.size
        self.written = 0
        self.stats: SaveStats | None = None
        self.error: BaseException | None = None
        self._done = threading.Event()

    def count(self, written: int) -> None:
        """Note how many bytes have been written."""
        self.written = written

    @property
    def costs(self) -> dict[str, float]:
        """What it cost, by name; nothing before it is durable."""
        names = ("size", "wait", "snapshot", "write", "fsync")
        return {} if self.stats is None else {name: getattr(self.stats, name) for name in names}

    def end(self) -> None:
        """Say that it is durable, or has failed."""
        self._done.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is durable or has failed, at most ``timeout`` seconds; return whether it is."""
        return self._done.wait(timeout)


class Saver:
    """The saves of one callback, in order: a snapshot at the hook, the writing behind it.

    Attributes:
        stats: What each save cost that is durable, in their order; the last thousand.
    """

    def __init__(self, file_format: Format, storage: Storage, *, background: bool) -> None:
        """Save in one format to one storage.

        Args:
            file_format: The format.
            storage: The storage.
            background: Whether training goes on while a snapshot is being written.
        """
        self._format = file_format
        self._storage = storage
        self._background = background
        self._untold: deque[Save] = deque()
        self.stats: deque[SaveStats] = deque(maxlen=1000)

    def prepare(self, model: Any, path: str, training: Training) -> None:
        """Plan the file and make the staging buffer, so that the first save costs no more than the rest.

        Args:
            model: The model that will be saved.
            path: Where to, for an error's text.
            training: Returns the training state.

        Raises:
            Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
        """
        framework = _frameworks.of(model)
        framework.build_optimizer(model)
        copier(framework.backend())  # its module is imported now rather than at the first save
        with _explaining(path):
            size = self._format.prepare(model, training)
        if size:
            staging.prepare(size)

    def save(
        self,
        model: Any,
        path: str,
        record: Record,
        training: Training,
        on_commit: Callable[["Save"], None] = lambda _: None,
    ) -> None:
        """Save ``model`` to ``path``: its state is taken before this returns, and :meth:`told` says what came of it.

        Args:
            model: The model.
            path: Where the checkpoint is to be.
            record: What is known of it.
            training: Returns the training state.
            on_commit: Called with the save when it is durable.

        Raises:
            ArgumentError: The format cannot hold the model.
            SaveError: Something that must not be replaced is at ``path``.
            Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
        """
        self._format.check_model(model)
        check_replaceable(Path(path), self._format)
        asked = time.perf_counter()
        with _writer.turn():
            started = time.perf_counter()
            with _explaining(path):
                snapshot = self._format.snapshot(model, record, training)
                if not (self._background and snapshot.taking.worth_following):
                    snapshot.taking.run()
            save = Save(path, record, snapshot)
            steps = self._write(save, snapshot, (asked, started), on_commit)
            try:
                self._untold.append(save)
                if snapshot.live:
                    next(steps, None)
                _writer.run(partial(_finish, save, steps), background=self._background)
                with _explaining(path):
                    snapshot.taking.run()
            except BaseException:  # an interrupt: what has begun in the background goes on, and what has not never will
                if snapshot.taking.give_up() or not save.begun:
                    self._untold.remove(save)
                    _writer.flush()
                raise

    def _write(
        self, save: Save, snapshot: Snapshot, began: tuple[float, float], on_commit: Callable[[Save], None]
    ) -> Generator[None, None, None]:
        """Write a snapshot, and commit it; whatever goes wrong is kept in ``save``.

        Args:
            save: The save.
            snapshot: What is to be written.
            began: When it was asked for, and when its turn came.
            on_commit: Called with the save when it is durable.

        Yields:
            Once, when the model itself is not read any more: what is left can be done in another thread.
        """
        try:
            with self._storage.stage(Path(save.path), self._format.suffix) as temporary:
                snapshot.before(Path(save.path))
                snapshot.write(temporary, save.count)
                yield
                snapshot.seal(temporary)
                size, written = tree_bytes(temporary), time.perf_counter()
            if self._storage.publishes:
                snapshot.after(Path(save.path))
            save.stats = SaveStats(save.path, size, *_between(*began, snapshot.taking.ended, written))
            self.stats.append(save.stats)
            on_commit(save)
        except Exception as error:  # noqa: BLE001 - told at the next hook
            save.error = _explained(error, save.path)
            save.error.__cause__ = error if save.error is not error else error.__cause__
        except BaseException as error:
            save.error = error  # behind training, nobody else would hear of it
            save.begun = False  # whoever interrupts training, which waits for this, knows of it
            raise
        finally:
            save.end()
        if save.error is not None and self._background and not isinstance(save.error, NotTakenError):
            _LOGGER.error("%s", save.error)  # the next hook may never come

    @property
    def under_way(self) -> Save | None:
        """The save that is not durable yet; None if all are."""
        return next((save for save in self._untold if not save.wait(0)), None)

    def wait(self) -> None:
        """Return when all saves have ended."""
        for save in list(self._untold):
            save.wait()

    def told(self) -> Iterator[Save]:
        """Yield each save that has ended, once."""
        while self._untold and self._untold[0].wait(0):
            yield self._untold.popleft()


def _between(*times: float) -> Iterator[float]:
    """Yield the seconds from each time to the next, the last of which is now."""
    return (after - before for before, after in pairwise([*times, time.perf_counter()]))


def _finish(save: Save, steps: Generator[None, None, None]) -> None:
    """Do what is left of a save."""
    save.begun = True
    for _ in steps:
        pass


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
    if isinstance(error, Exception) and not isinstance(error, LastgoodError):
        if is_system_error(error):
            return SaveError.during("save the checkpoint", path, error)
        error.add_note(f"This happened while lastgood saved the checkpoint {path!r}; it was not written.")
    return error


def describe(
    model: Any,
    file_format: Format,
    *,
    epoch: int,
    batch: int | None,
    steps: int | None,
    logs: Mapping[str, Any],
    step: int | None = None,
    run: str = "",
    template: str = "",
) -> Record:
    """Return the record of a save.

    Args:
        model: The model as it is to be saved.
        file_format: The format it is saved in.
        epoch: The epoch, counted from 1.
        batch: Batches done in it; None at its end.
        steps: Batches of an epoch, where known.
        logs: The logs of the hook; their scalars become the record's metrics.
        step: The step, where the optimizer's does not tell.
        run: Which run it is of.
        template: The template, below the run's directory.
    """
    metrics = {name: number for name, value in logs.items() if (number := as_scalar(value)) is not None}
    return Record(
        step=_step(model, epoch=epoch, batch=batch, steps=steps or 1) if step is None else step,
        epoch=epoch,
        batch=batch,
        metrics=metrics,
        format=file_format.name,
        created=time.time(),
        versions=_versions(_frameworks.of(model)),
        run=run,
        template=template,
    )


def environment(model: Any) -> dict[str, str]:
    """Return what trains ``model`` here, by name."""
    return {**_versions(_frameworks.of(model)), "python": platform.python_version(), "system": platform.platform()}


def _versions(framework: Framework) -> dict[str, str]:
    return {"lastgood": _own_version(), framework.NAME: framework.version(), "backend": framework.backend()}


@cache
def _own_version() -> str:
    return version("lastgood")


def _step(model: Any, *, epoch: int, batch: int | None, steps: int) -> int:
    """Return the optimizer's step; a model that trains without one has its batches counted."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    if iterations is not None:
        return int(_frameworks.of(model).to_numpy(iterations))
    return epoch * steps if batch is None else (epoch - 1) * steps + batch
