"""What a training leaves in its run's directory beside checkpoints, and what it prunes after a save."""

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
# A look at so many checkpoints that it takes a core longer than this is not taken at each save, but for a tenth of the
# time at most: the next save waits for it, and training shares the interpreter with it.
_LONG_LOOK = 0.05
_REST = 9


class Keeper:
    """Keeps one template's part of a run. Nothing here can make a save fail: it has succeeded before.

    The directory holds what Keras would put there and nothing else, until something is asked for that needs more: a
    script that takes the newest entry of its directory must find a checkpoint.

    Attributes:
        run: The directory.
        name: Which run it is: a new one for each fresh start; a restart continues with the one that it found.
        template: The template, below the directory.
        retention: What to keep.
        wanted: Whether the run is to have a journal.
        publishes: Whether checkpoints of this process appear; if not, another one's do, and it keeps the run.
        ranking: The monitored metric and the way in which it improves, by name, once that is known.
    """

    def __init__(
        self, series: Series, retention: Retention, pinned: Callable[[], Collection[str]] | None = None
    ) -> None:
        """Begin a run of a new name; nothing is written yet.

        Args:
            series: The template, and where its checkpoints lie.
            retention: What to keep.
            pinned: Returns the names of checkpoints that are pinned elsewhere; None for none.
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
        self._has_news = False  # whether there is something that no pruning has seen
        self._rests_until = 0.0
        self._claim: Claim | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether the template's paths are claimed for this process."""
        return self._claim is not None

    @property
    def is_kept(self) -> bool:
        """Whether the run has a journal, or is to have one."""
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
        """Return what another process can use: the claim is of this one."""
        return {**vars(self), "_claim": None}

    def moved(self, series: Series) -> "Keeper":
        """Return what keeps the same run where its template leads to now; its old place is left to others."""
        self.release()
        moved = Keeper(series, self.retention, self._pinned)
        moved.name, moved.wanted, moved.publishes = self.name, self.wanted, self.publishes
        moved.ranking = self.ranking
        return moved

    def release(self) -> None:
        """Leave the paths to other processes."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release(self)

    def note(self, event: str, **values: Any) -> None:
        """Add an event of this run to its journal, if it has one."""
        if not self.is_kept:
            return
        with _never_failing("note an event of", self._series.directory):
            self.run.journal.append(event, run=self.name, template=self.template, at=time.time(), **values)

    def committed(self, at: Location, record: Record, costs: Mapping[str, float], monitor: str, mode: Mode) -> None:
        """Note a save that is durable, and prune what need not be kept now that it is there.

        Args:
            at: The checkpoint.
            record: Its record.
            costs: What it took: bytes and seconds, by name.
            monitor: The metric that says which is best.
            mode: The way in which it improves.
        """
        place = {"step": record.step, "epoch": record.epoch, "batch": record.batch, "created": record.created}
        values = {"metrics": dict(record.metrics), "costs": dict(costs), **self.ranking}
        self.note("save", path=self._name_of(at), **place, **values)
        self._rank_by = (monitor, mode)
        self._has_news = True
        if time.monotonic() >= self._rests_until:
            self._prune()

    def checkpoint(self, at: Location, record: Record, costs: Mapping[str, float]) -> Checkpoint:
        """Return a checkpoint that has just been saved, as users see it."""
        size, shared = int(costs["size"]), int(costs["shared"])
        place = (record.step, record.epoch, record.batch)
        return Checkpoint(
            at.public(), record.format, size, record.created, *place, record.metrics, False, record, shared
        )

    def settle(self) -> None:
        """When training ends, prune once more if saves or metrics have come since.

        Metrics may rank the last checkpoint otherwise. Whether they come before the writer is done with it is chance,
        and what survives must not be.
        """
        if self._has_news:
            self._prune()

    def _look(self) -> list[Checkpoint]:
        """Return what the template can have named: the directory may hold much else, and be searched at each save."""
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
        """Attach metrics to a checkpoint that were measured after its save, at ``step``."""
        self.note("metrics", path=self._name_of(at), created=record.created, metrics=dict(metrics), step=step)
        self._has_news = True

    def _name_of(self, at: Location) -> str:
        return name_below(self._series.directory, at)


@contextmanager
def _never_failing(action: str, directory: Location) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - of the storage, or of a policy of the user's
        _LOGGER.warning("Could not %s the run %r: %s", action, str(directory), error)
