"""What training does in its run besides saving: claim the paths, write the journal, prune."""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .._checkpoint import Checkpoint
from .._policies.monitor import Mode
from .._policies.retention import Retention
from .._record import Record
from .._storage import Location
from .._storage.base import Claim
from .pruning import Pruning, name_below
from .run import Run
from .series import Series

_LOGGER = logging.getLogger("lastgood")
# Listing the checkpoints delays the next save and competes with training for the interpreter. If it takes more CPU
# seconds than this, some saves skip it, so that it takes a tenth of the time at most.
_LONG_LOOK = 0.05
_REST = 9


class Keeper:
    """The claim, journal and pruning for one template of a run; errors in them never fail a completed save.

    The directory contains only what Keras would put there until an argument needs more: a script that takes the newest
    entry of the directory must find a checkpoint.

    Attributes:
        run: The directory.
        name: The run's identifier: new for each fresh start; a restart keeps the one that it found.
        template: The template, relative to the directory.
        retention: Which checkpoints to keep.
        wanted: Whether to create a journal if the run has none.
        publishes: Whether this process publishes checkpoints; if not, another one does, writes the journal and prunes.
        ranking: The monitored metric and its mode, as ``monitor`` and ``mode``, once they are known.
    """

    def __init__(
        self, series: Series, retention: Retention, pinned: Callable[[], Collection[str]] | None = None
    ) -> None:
        """Start a run with a new name; nothing is written yet.

        Args:
            series: The template and the location of its checkpoints.
            retention: Which checkpoints to keep.
            pinned: Returns the names of checkpoints that are pinned elsewhere; None if there is no such place.
        """
        self.run = Run(series.directory)
        self.name = secrets.token_hex(8)
        self.template = series.template.below
        self.retention = retention
        self.wanted = retention.prunes
        self.publishes = True
        self.ranking: Mapping[str, str] = {}
        self._series = series
        self._pinned = pinned
        self._rank_by: tuple[str, Mode] | None = None
        self._has_news = False  # whether saves or metrics have come since the last pruning
        self._rests_until = 0.0
        self._claim: Claim | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether this process has claimed the template's paths."""
        return self._claim is not None

    @property
    def is_kept(self) -> bool:
        """Whether this process writes a journal for the run."""
        return self.publishes and (self.wanted or self.run.journal.exists)

    def claim(self) -> None:
        """Claim the template's paths for this process.

        Raises:
            RunInUseError: Another process has claimed them; the message says which.
        """
        if self._claim is None:
            storage, path = self._series.storage, self._series.directory.path
            self._claim = storage.claim(path, self.template, self, leave_lock=self.is_kept)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, without the claim, which belongs to this one."""
        return {**vars(self), "_claim": None}

    def moved(self, series: Series) -> "Keeper":
        """Return a keeper of the same run at the template's new location, and release the old one."""
        self.release()
        moved = Keeper(series, self.retention, self._pinned)
        moved.name, moved.wanted, moved.publishes = self.name, self.wanted, self.publishes
        moved.ranking = self.ranking
        return moved

    def release(self) -> None:
        """Release the claim, so that other processes can claim the paths."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release(self)

    def note(self, event: str, **values: Any) -> None:
        """Append an event to the journal, if this process writes one."""
        if not self.is_kept:
            return
        with _never_failing("write to the journal of", self._series.directory):
            self.run.journal.append(event, run=self.name, template=self.template, at=time.time(), **values)

    def committed(self, at: Location, record: Record, costs: Mapping[str, float], monitor: str, mode: Mode) -> None:
        """Add a durable save to the journal, then prune.

        Args:
            at: The checkpoint.
            record: Its record.
            costs: Its bytes and seconds, by name.
            monitor: The metric that ranks checkpoints.
            mode: Whether lower or higher values are better.
        """
        place = {"step": record.step, "epoch": record.epoch, "batch": record.batch, "created": record.created}
        values = {"metrics": dict(record.metrics), "costs": dict(costs), **self.ranking}
        self.note("save", path=self._name_of(at), **place, **values)
        self._rank_by = (monitor, mode)
        self._has_news = True
        if time.monotonic() >= self._rests_until:
            self._prune()

    def checkpoint(self, at: Location, record: Record, costs: Mapping[str, float]) -> Checkpoint:
        """Return the public object for a checkpoint that has just been saved."""
        size, shared = int(costs["size"]), int(costs["shared"])
        place = (record.step, record.epoch, record.batch)
        return Checkpoint(
            at.public(), record.format, size, record.created, *place, record.metrics, False, record, shared
        )

    def settle(self) -> None:
        """Prune once more at the end of training, if saves or metrics have come since the last pruning.

        Metrics can change the rank of the last checkpoint. Whether they come before or after its writer finishes is
        chance, which must not decide what survives.
        """
        if self._has_news:
            self._prune()

    def _look(self) -> list[Checkpoint]:
        """Return only checkpoints that match the template: each save asks, and the directory may contain much else."""
        found = self.run.look_at(self._series.existing())
        pinned = self._pinned() if self._pinned is not None else ()
        return [replace(each, pinned=True) if self.run.name_of(each) in pinned else each for each in found]

    def _prune(self) -> None:
        if self._rank_by is None or not self.retention.prunes or not self.publishes:
            return
        self._has_news, begun = False, time.thread_time()
        pruning = Pruning(self.retention, *self._rank_by, owner=(self.name, self.template))
        with _never_failing("prune", self._series.directory):
            pruning.run(self._series.directory, self.run.journal, self._look)
        spent = time.thread_time() - begun
        self._rests_until = time.monotonic() + (_REST * spent if spent > _LONG_LOOK else 0.0)

    def late(self, at: Location, record: Record, metrics: Mapping[str, float], step: int) -> None:
        """Attach metrics that were logged at ``step``, after the checkpoint's save."""
        self.note("metrics", path=self._name_of(at), created=record.created, metrics=dict(metrics), step=step)
        self._has_news = True

    def _name_of(self, at: Location) -> str:
        return name_below(self._series.directory, at)


@contextmanager
def _never_failing(action: str, directory: Location) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the storage or a user's policy may raise any
        _LOGGER.warning("Could not %s the run %r: %s", action, str(directory), error)
