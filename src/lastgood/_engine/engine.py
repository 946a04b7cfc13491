"""One engine for a callback and for a loop of your own: it checks, claims, saves, prunes and reports for both.

moment, model -> Engine.save -> Saver: snapshot, write, commit -> writer's thread: Keeper notes and prunes
ended saves <- Engine.ended <- next hook, or next call
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._bytes.training_block import Training
from .._formats import Format
from .._keras import ModelAdapter
from .._moment import Moment
from .._policies.monitor import Direction, Mode, resolve_direction
from .._record import Record
from .._run import Keeper, Series, by_age
from .._saving import Save, Saver, SaveStats, beginning, record_of
from .._storage import Location
from . import preflight
from .council import Council
from .described import settings_described
from .mirror import Copy, mirrors
from .settings import Settings


class Engine:
    """The saves of one template.

    Attributes:
        settings: What the user has asked for.
        series: The checkpoints that the template makes.
        keeper: What is kept of the run beside them.
        mirrors: Their copies elsewhere.
        council: What the processes of a training decide as one.
        last: The save that was begun last, if it has not failed.
    """

    def __init__(self, settings: Settings) -> None:
        """Assemble it; nothing is written or claimed yet."""
        self.settings = settings
        self.series = Series(settings.template, settings.format, settings.storage)
        self.keeper = Keeper(self.series, settings.retention)
        self.mirrors = mirrors(settings, self.series, self.keeper.run)
        self.council = Council(settings.timeout)
        self.last: Save | None = None
        self._saver = Saver(
            settings.format, self._note_commit, self._call_user, background=settings.background is not False
        )
        self._user_errors: deque[tuple[Save, Exception]] = deque()
        self._direction: Direction | None = None
        self._mode: Mode = "min"
        self._continues = False
        self._was_interrupted = True  # perhaps, before this process

    def __getstate__(self) -> dict[str, Any]:
        """Return what a process that gets a copy can use: the saves are those of this one."""
        self.wait()
        return {**vars(self), "last": None, "_user_errors": deque()}

    def continue_run(self) -> None:
        """Have the run be kept so that a restart can continue it."""
        self._continues = self.keeper.wanted = True
        for mirror in self.mirrors:
            mirror.keeper.wanted = True

    def begin(self, adapter: ModelAdapter, training: Training, *, at_once: bool = False) -> None:
        """Check what would fail at the first save, claim the paths, and get ready.

        Args:
            adapter: The model.
            training: Returns the training state, as far as there is one by now.
            at_once: Whether the first save may come with the first step, and its memory is waited for.

        Raises:
            SaveError: An OSError: the directory cannot be made or written.
            ArgumentError: A ValueError: the format cannot hold this model.
            RunInUseError: An OSError: another process trains into these files, and this one would delete them or
                continue from them.
        """
        settings = self.settings
        self._follow_directory()
        self.keeper.publishes = self._saver.publishes = adapter.is_chief() and self.council.group.is_chief
        if not self.council.group.is_chief:
            settings.format.check_model(adapter)
            return
        preflight.check_target(self.series)
        settings.format.check_model(adapter)
        self._claim()
        for directory in self.series.directories():
            directory.storage.reclaim(directory.path, self.series.names)
        preflight.warn_of_space(self.series.directory, adapter.state_bytes())
        if self.keeper.publishes:
            preflight.warn_of_limits(self.series)
        for mirror in self.mirrors:
            preflight.check_mirror(mirror, publishes=self.keeper.publishes, refuse=self._refuses)
        with self.council.one_acts(adapter):
            self._saver.prepare(adapter, settings.template.text, training, at_once=at_once)
        self.last = None

    @property
    def _refuses(self) -> bool:
        """Whether another process must not train into the same files: this one deletes them, or goes on from them."""
        return self._continues or self.settings.retention.prunes

    def _claim(self) -> None:
        if self.keeper.publishes:
            preflight.claim(self.keeper, self.settings.template.text, refuse=self._refuses)

    def _follow_directory(self) -> None:
        """Take a relative template as it is meant now: a program may change its working directory."""
        series = self.series.from_here()
        if series is not self.series:
            self._move(series)

    def change(self, settings: Settings) -> None:
        """Take other settings from the next save on."""
        self._saver.wait()
        self.settings, self._direction, self.keeper.ranking = settings, None, {}
        self._saver.format = settings.format
        self._move(replace(self.series, template=settings.template, format=settings.format, storage=settings.storage))

    def _move(self, series: Series) -> None:
        """Save to another place from now on, and leave the one before to others."""
        moved = (series.directory, series.template.text) != (self.series.directory, self.series.template.text)
        claimed = self.keeper.is_claimed
        self._saver.wait()  # the writer's thread asks both
        self.series = series
        if moved:
            self.keeper = self.keeper.moved(series)
            self.mirrors = [mirror.moved(series, self.keeper.run) for mirror in self.mirrors]
            if claimed:
                self._claim()

    def note_begin(self, adapter: ModelAdapter, resumed: str | None, **fit: Any) -> None:
        """Note in the journal that training begins; by now a restart has said which run it continues."""
        if self.keeper.is_kept:
            settings = {**settings_described(self.settings), **fit.pop("settings", {})}
            self.keeper.note("begin", resumed=resumed, **beginning(adapter, settings, fit))

    def end(self, *, stopped: bool | None) -> None:
        """Note that training has ended, and leave the paths to others.

        Args:
            stopped: Whether a callback has stopped it; None if it never began.
        """
        if stopped is not None:
            self.keeper.note("end", stopped=stopped)
        self.keeper.release()
        for mirror in self.mirrors:
            mirror.end()

    def record(self, moment: Moment, adapter: ModelAdapter) -> Record:
        """Return what a save at a moment would say of itself."""
        owner = {"run": self.keeper.name, "template": self.keeper.template}
        return record_of(moment, adapter, self.settings.format, **owner)

    def save(
        self, moment: Moment, adapter: ModelAdapter, path: str, training: Training, *, best: float | None = None
    ) -> Save:
        """Save a model: its state is copied before this returns, and :meth:`ended` gives the outcome.

        Args:
            moment: When it is.
            adapter: The model.
            path: Where to, as the user wrote it.
            training: Returns the training state.
            best: What the best monitored value becomes when the save is durable; None if it stays.

        Raises:
            ArgumentError: The format cannot hold the model.
            SaveError: Something that must not be replaced is at ``path``.
            Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
        """
        self._follow_directory()
        if self.settings.retention.prunes:
            self._mode = self.direction(adapter).mode
        save = Save(path, self.series.at(path), self.record(moment, adapter), best)
        with self.council.one_acts(adapter), self.council.receiving() as receiver:
            self._saver.save(adapter, save, training, receiver)
        self.last = save
        return save

    def _note_commit(self, save: Save) -> None:
        """Note a save that is durable, and prune; runs in the writer's thread."""
        monitor = self.settings.monitor
        self.keeper.committed(save.at, save.record, save.costs, monitor, self._mode)
        for mirror in self.mirrors if self.keeper.publishes else ():
            mirror.add(Copy(save.at, save.record, {**save.costs, "shared": 0}, monitor, self._mode))
        interrupted = self.series.beside("interrupted")
        if save.at == interrupted:
            self._was_interrupted = True
        elif self._continues and self._was_interrupted:  # what a signal made it save is older now
            with contextlib.suppress(OSError):
                interrupted.storage.discard(interrupted.path)
                self._was_interrupted = False

    def _call_user(self, save: Save) -> None:
        """Call ``on_save`` with a save that is durable; runs in the writer's thread, and the next save waits for it."""
        if self.settings.on_save is None or not self.keeper.publishes:
            return
        try:
            self.settings.on_save(self.keeper.checkpoint(save.at, save.record, save.costs))
        except Exception as error:  # noqa: BLE001 - code of the user's; it is reported at the next hook
            self._user_errors.append((save, error))

    def user_errors(self) -> Iterator[tuple[Save, Exception]]:
        """Yield each error that ``on_save`` has raised, once, with the save that it was called for."""
        while self._user_errors:
            yield self._user_errors.popleft()

    def direction(self, adapter: ModelAdapter) -> Direction:
        """Return how the monitored metric improves; asked once, when the metrics are built."""
        if self._direction is None:
            settings = self.settings
            self._direction = resolve_direction(settings.monitor, settings.mode, adapter.metric_directions())
            if self._direction.guessed:
                preflight.warn_of_guess(settings.owner, settings.monitor)
            else:
                self.keeper.ranking = {"monitor": settings.monitor, "mode": self._direction.mode}
        return self._direction

    def attach_late(self, metrics: Mapping[str, float], step: int) -> None:
        """Attach metrics to the last save that were measured after it; those that it has stay as they are."""
        if self.last is None:
            return
        record = self.last.record
        late = {name: metrics[name] for name in metrics.keys() - record.metrics.keys()}
        if late:
            self.keeper.late(self.last.at, record, late, step)
            for mirror in self.mirrors:
                mirror.late(self.last.at, record, late, step)

    def ended(self) -> Iterator[Save]:
        """Yield each save that has ended, once."""
        for save in self._saver.ended():
            if save.error is not None:
                self.last = None
            yield save

    def wait_until_durable(self) -> None:
        """Return when all saves have ended."""
        self._saver.wait()

    def wait(self, *, copies: bool = False) -> None:
        """Return when all saves have ended and ``on_save`` was called for each; if asked for, when mirrors have all."""
        self._saver.wait()
        if self.settings.on_save is not None:
            self._saver.wait_for_calls()
        for mirror in self.mirrors if copies else ():
            mirror.wait()

    def copy_failures(self) -> Iterator[str]:
        """Yield each copy that has failed, in words, once."""
        for mirror in self.mirrors:
            yield from mirror.failures()

    @property
    def under_way(self) -> Save | None:
        """The save that is not durable yet; None if all are."""
        return self._saver.under_way

    @property
    def unreported(self) -> tuple[Save, ...]:
        """The saves that :meth:`ended` has not given yet."""
        return self._saver.unreported

    @property
    def stats(self) -> list[SaveStats]:
        """What each of the last thousand saves cost, in order."""
        return list(self._saver.stats)


def newest_first(engines: Sequence[Engine]) -> list[tuple[Location, Format]]:
    """Return what a restart may continue from, of several engines: their checkpoints, and the copies of these."""
    copies = [mirror.series for each in engines for mirror in each.mirrors]
    return by_age([each.series for each in engines], copies)
