"""What a callback that saves leaves in its run's directory beside checkpoints; and what it prunes behind a save."""

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._policies.monitor import Mode
from .._policies.naming import Template
from .._policies.retention import Retention
from .._record import Record
from .._storage import Storage
from .occupancy import Occupancy
from .paths import matching_paths
from .pruning import prune
from .run import Checkpoint, Run

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
        name: Which run it is: a new one for each fresh start; a restart goes on with the one that it found.
        publishes: Whether checkpoints of this process appear; if not, another one's do, and it keeps the run.
        template: The template, below the directory.
    """

    def __init__(self, template: Template, retention: Retention, storage: Storage, *, resumes: bool = False) -> None:
        """Begin a run of a new name; nothing is written yet.

        Args:
            template: The template of its paths.
            retention: What to keep.
            storage: Deletes what is not to be kept.
            resumes: Whether a restart is to go on with it.
        """
        self.run = Run(template.components()[0])
        self.name = secrets.token_hex(8)
        self.template = template.below
        self._template = template
        self.retention = retention
        self._storage = storage
        self._rank_by: tuple[str, Mode] | None = None
        self._has_news = False  # whether there is something that no pruning has seen
        self._rests_until = 0.0
        self._wanted = resumes or retention.prunes
        self.publishes = True
        self._occupancy: Occupancy | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the run has a journal, or is to have one."""
        return self.publishes and (self._wanted or self.run.journal.exists)

    def occupy(self) -> str | None:
        """Take the template's files for this process; return who has them, in words, if another has."""
        if self._occupancy is None:
            taken = Occupancy.take(self, self.run.directory, self.template, lock=self.is_kept)
            if isinstance(taken, str):
                return taken
            self._occupancy = taken
        return None

    def release(self) -> None:
        """Leave the files to other processes."""
        occupancy, self._occupancy = self._occupancy, None
        if occupancy is not None:
            occupancy.release(self)

    def note(self, event: str, **values: Any) -> None:
        """Add an event of this run to its journal, if it has one."""
        if not self.is_kept:
            return
        with _never_failing("note an event of", self.run.directory):
            self.run.journal.append(event, run=self.name, template=self.template, at=time.time(), **values)

    def committed(self, path: Path, record: Record, costs: Mapping[str, float], monitor: str, mode: Mode) -> None:
        """Note a save that is durable, and prune what need not be kept now that it is there.

        Args:
            path: The checkpoint.
            record: Its record.
            costs: What it took: bytes and seconds, by name.
            monitor: The metric that says which is best.
            mode: The way in which it improves.
        """
        place = {"step": record.step, "epoch": record.epoch, "batch": record.batch, "created": record.created}
        self.note("save", path=self._name_of(path), **place, metrics=dict(record.metrics), costs=dict(costs))
        self._rank_by = (monitor, mode)
        self._has_news = True
        if time.monotonic() >= self._rests_until:
            self._prune()

    def settle(self) -> None:
        """When training ends, prune once more if saves or metrics have come since.

        Metrics may rank the last checkpoint otherwise. Whether they come before the writer is done with it is chance,
        and what survives must not be.
        """
        if self._has_news:
            self._prune()

    def _look(self) -> list[Checkpoint]:
        """Return what the template can have named: the directory may hold much else, and be searched at each save."""
        return self.run.look_at(matching_paths(self._template))

    def _prune(self) -> None:
        if self._rank_by is None or not self.retention.prunes or not self.publishes:
            return
        self._has_news, begun = False, time.thread_time()
        owner = (self.name, self.template)
        with _never_failing("prune", self.run.directory):
            prune(self.run, self._look, self._storage.discard, self.retention, *self._rank_by, owner=owner)
        spent = time.thread_time() - begun
        self._rests_until = time.monotonic() + (_REST * spent if spent > _LONG_LOOK else 0.0)

    def late(self, path: Path, record: Record, metrics: Mapping[str, float], step: int) -> None:
        """Attach metrics to a checkpoint that were measured after its save, at ``step``."""
        self.note("metrics", path=self._name_of(path), created=record.created, metrics=dict(metrics), step=step)
        self._has_news = True

    def _name_of(self, path: Path) -> str:
        return path.relative_to(self.run.directory).as_posix()


@contextmanager
def _never_failing(action: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _LOGGER.warning("Could not %s the run %r: %s", action, str(directory), error)
