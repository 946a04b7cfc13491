"""A second place for checkpoints: durable ones are copied there while training continues.

commit in the writer's thread -> Mirror.add -> a thread of its own: copy, commit there, note and prune there
"""

import atexit
import logging
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from .._errors import StoreError
from .._policies.monitor import Mode
from .._policies.naming import Template, literal
from .._policies.retention import Retention
from .._record import Record
from .._run import Keeper, Run, Series, name_below
from .._storage import Location, storage_of
from .._storage.base import unreported
from .._threads import Beside
from .settings import Settings

_LOGGER = logging.getLogger("lastgood")
_mirrors: "weakref.WeakSet[Mirror]" = weakref.WeakSet()


@dataclass(frozen=True)
class Copy:
    """A checkpoint to copy.

    Attributes:
        at: Where it is.
        record: Its record.
        costs: What its save cost.
        monitor: The metric that determines which checkpoint is best.
        mode: The direction in which the metric improves.
    """

    at: Location
    record: Record
    costs: Mapping[str, float]
    monitor: str
    mode: Mode


class Mirror:
    """The copies of one template's checkpoints.

    One is copied at a time, and one may wait: if copies are slower than saves, those in between are skipped.

    Attributes:
        series: The copies, and where they are.
        keeper: Keeps the journal of the run there, and prunes.
    """

    def __init__(self, directory: str, series: Series, retention: Retention, run: Run) -> None:
        """Set what to copy, and where.

        Args:
            directory: Where to copy to: the path or URL of a directory.
            series: The checkpoints to copy.
            retention: Which copies to keep.
            run: The run that they are copied from; its pins also protect the copies.
        """
        template = Template(f"{literal(directory.rstrip('/'))}/{series.template.below}")
        self.series = replace(series, template=template, storage=storage_of(directory)).from_here()
        self.keeper = Keeper(self.series, retention, pinned=lambda: run.journal.annotations().pinned)
        self._directory = directory
        self._source = series.directory
        self._waiting: deque[Copy] = deque()
        self._failures: deque[str] = deque()
        self._copying: Beside[None] | None = None
        self._lock = threading.Lock()
        _mirrors.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Wait for the copies, and return the state for another process, without the thread and lock of this one."""
        self.wait()
        return {name: value for name, value in vars(self).items() if name not in ("_copying", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the state in another process."""
        vars(self).update(state, _copying=None, _lock=threading.Lock())

    def moved(self, series: Series, run: Run) -> "Mirror":
        """Return a mirror for checkpoints that are saved elsewhere from now on.

        Args:
            series: The checkpoints to copy.
            run: The run that they are saved in.
        """
        self.wait()
        moved, kept = Mirror(self._directory, series, self.keeper.retention, run), self.keeper
        moved.keeper.name, moved.keeper.wanted, moved.keeper.publishes = kept.name, kept.wanted, kept.publishes
        claimed = kept.is_claimed
        kept.release()
        if claimed:
            moved.keeper.claim()
        return moved

    def add(self, copy: Copy) -> None:
        """Copy a checkpoint in a thread, unless a newer one comes before its turn."""
        with self._lock:
            while self._waiting:
                left_out = self._waiting.popleft()
                _LOGGER.info("The mirror skips %s: there is a newer checkpoint.", left_out.at)
            self._waiting.append(copy)
            copying = None
            if self._copying is None:
                copying = self._copying = Beside(self._run, "lastgood-mirror")
        if copying is not None:
            copying.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._copying = None
                    return
                copy = self._waiting.popleft()
            try:
                self._copy(copy)
            except BaseException as error:  # noqa: BLE001 - nothing else would report it; the next hook does
                if not _is_gone(copy.at):  # else it has been pruned meanwhile
                    self._failures.append(
                        f"Could not copy the checkpoint {str(copy.at)!r} to {str(self.series.directory)!r}: {error} "
                        "The original is saved, and the next checkpoint will be copied."
                    )

    def _copy(self, copy: Copy) -> None:
        target = self.series.directory / name_below(self._source, copy.at)
        with (
            ExitStack() as files,
            target.storage.stage(target.path, self.series.format.suffix, publish=self.keeper.publishes) as stage,
        ):
            for name in copy.at.files():
                stage.take(name, files.enter_context(copy.at.open(name)), unreported)
        self.keeper.name = copy.record.run or self.keeper.name
        self.keeper.committed(target, copy.record, copy.costs, copy.monitor, copy.mode)

    def late(self, at: Location, record: Record, metrics: Mapping[str, float], step: int) -> None:
        """Attach metrics logged after a save to its copy."""
        self.keeper.late(self.series.directory / name_below(self._source, at), record, metrics, step)

    def wait(self) -> None:
        """Wait until no copy is running or waiting."""
        copying = self._copying
        if copying is not None:
            copying.wait()

    def failures(self) -> Iterator[str]:
        """Yield a message for each failed copy, once."""
        while self._failures:
            yield self._failures.popleft()

    def end(self) -> None:
        """Wait for the copies when training ends, and release the place."""
        self.wait()
        self.keeper.settle()
        self.keeper.release()


def mirrors(settings: Settings, series: Series, run: Run) -> list[Mirror]:
    """Return the mirrors that settings ask for.

    Args:
        settings: The settings.
        series: The checkpoints to copy.
        run: The run that they are saved in.
    """
    given = [] if settings.mirror is None else [settings.mirror]
    return [Mirror(each, series, settings.retention, run) for each in given]


def _is_gone(at: Location) -> bool:
    try:
        return at.kind is None
    except StoreError:
        return False


def _wait_for_all() -> None:
    """Wait for all copies at exit, in case the program has not."""
    for mirror in list(_mirrors):
        mirror.wait()


atexit.register(_wait_for_all)
