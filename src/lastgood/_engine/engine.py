"""The engine of the callback and of training loops of your own: it checks, claims, saves, prunes and reports.

moment, model -> Engine.save -> Saver: snapshot, write, commit -> writer's thread: Keeper notes and prunes
ended saves <- Engine.ended <- next hook, or next call
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._bytes.training_block import Training
from .._checkpoint import Checkpoint
from .._formats import Format
from .._keras import ModelAdapter
from .._moment import Moment
from .._policies.monitor import Direction, Mode, resolve_direction
from .._record import Record
from .._run import Keeper, Run, Series, by_age
from .._saving import Save, Saver, SaveStats, beginning, record_of
from .._storage import Location
from . import preflight
from .council import Council
from .described import settings_described
from .mirror import Copy, mirrors
from .settings import Settings

_begun: set[tuple[str, str]] = set()  # directories and templates of this process's trainings


class Engine:
    """The saves of one template.

    Attributes:
        settings: The user's settings.
        series: The checkpoints that the template makes.
        keeper: Keeps the journal of the run, and prunes.
        mirrors: Their copies in other places.
        council: The joint decisions of processes that train together.
        last: The last save that began; None if it failed.
    """

    def __init__(self, settings: Settings) -> None:
        """Assemble the engine; nothing is written or claimed yet."""
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
        self._was_interrupted = True  # possibly, before this process

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy in another process, without the saves of this one."""
        self.wait()
        return {**vars(self), "last": None, "_user_errors": deque()}

    def continue_run(self) -> None:
        """Keep a journal, so that a restart can continue the run."""
        self._continues = self.keeper.wanted = True
        for mirror in self.mirrors:
            mirror.keeper.wanted = True

    def begin(self, adapter: ModelAdapter, training: Training, *, at_once: bool = False) -> None:
        """Check what would fail at the first save, claim the paths, and prepare to save.

        Args:
            adapter: The model.
            training: Returns the training state, as far as it exists yet.
            at_once: Whether the first save may be due after the first step, so that this waits for its memory.

        Raises:
            SaveError: An OSError: the directory cannot be created or written.
            ArgumentError: A ValueError: the format cannot hold this model.
            RunInUseError: An OSError: another process saves to these files, and this one would delete them or
                continue from them.
        """
        settings = self.settings
        self._follow_directory()
        self.keeper.publishes = self._saver.publishes = adapter.is_chief() and self.council.group.is_chief
        if not self.council.group.is_chief:
            settings.format.check_model(adapter)
            return
        preflight.check_target(self.series)
        _begun.add((str(self.series.directory), self.series.template.below))
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
        """Whether no other process may save to the same files, since this one deletes them or continues from them."""
        return self._continues or self.settings.retention.prunes

    def _claim(self) -> None:
        if self.keeper.publishes:
            preflight.claim(self.keeper, self.settings.template.text, refuse=self._refuses)

    def _follow_directory(self) -> None:
        """Resolve a relative template again, since the program may have changed its working directory."""
        series = self.series.from_here()
        if series is not self.series:
            self._move(series)

    def change(self, settings: Settings) -> None:
        """Use other settings from the next save on."""
        self._saver.wait()
        self.settings, self._direction, self.keeper.ranking = settings, None, {}
        self._saver.format = settings.format
        self._move(replace(self.series, template=settings.template, format=settings.format, storage=settings.storage))

    def _move(self, series: Series) -> None:
        """Save to another place from now on, and release the previous one."""
        moved = (series.directory, series.template.text) != (self.series.directory, self.series.template.text)
        claimed = self.keeper.is_claimed
        self._saver.wait()  # the writer's thread uses what changes here
        self.series = series
        if moved:
            self.keeper = self.keeper.moved(series)
            self.mirrors = [mirror.moved(series, self.keeper.run) for mirror in self.mirrors]
            if claimed:
                self._claim()

    def note_begin(self, adapter: ModelAdapter, resumed: str | None, **fit: Any) -> None:
        """Note in the journal that training begins; a restart must know by now which run it continues."""
        if self.keeper.is_kept:
            settings = {**settings_described(self.settings), **fit.pop("settings", {})}
            self.keeper.note("begin", resumed=resumed, **beginning(adapter, settings, fit))

    def end(self, *, stopped: bool | None) -> None:
        """Note that training has ended, and release the paths.

        Args:
            stopped: Whether a callback stopped training; None if it never began, or an exception ended it.
        """
        if stopped is not None:
            self.keeper.note("end", stopped=stopped)
        self.keeper.release()
        for mirror in self.mirrors:
            mirror.end()

    def record(self, moment: Moment, adapter: ModelAdapter) -> Record:
        """Return the record of a save at a moment."""
        owner = {"run": self.keeper.name, "template": self.keeper.template}
        return record_of(moment, adapter, self.settings.format, **owner)

    def save(
        self, moment: Moment, adapter: ModelAdapter, path: str, training: Training, *, best: float | None = None
    ) -> Save:
        """Save a model. Its state is copied before this returns; :meth:`ended` yields the outcome.

        Args:
            moment: The moment of the save.
            adapter: The model.
            path: Where to save, as the user wrote it.
            training: Returns the training state.
            best: The best monitored value once the save is durable; None if the save does not change it.

        Raises:
            ArgumentError: The format cannot hold the model.
            SaveError: Something that must not be replaced is at ``path``.
            Exception: Keras or the model's own code fails to save it; a note names the path.
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
        """Note a durable save, and prune; runs in the writer's thread."""
        monitor = self.settings.monitor
        self.keeper.committed(save.at, save.record, save.costs, monitor, self._mode)
        for mirror in self.mirrors if self.keeper.publishes else ():
            mirror.add(Copy(save.at, save.record, {**save.costs, "shared": 0}, monitor, self._mode))
        interrupted = self.series.beside("interrupted")
        if save.at == interrupted:
            self._was_interrupted = True
        elif self._continues and self._was_interrupted:  # the checkpoint saved at a signal is older
            with contextlib.suppress(OSError):
                interrupted.storage.discard(interrupted.path)
                self._was_interrupted = False

    def _call_user(self, save: Save) -> None:
        """Call ``on_save`` for a durable save; runs in the writer's thread, and the next save waits for it."""
        if self.settings.on_save is None or not self.keeper.publishes:
            return
        try:
            self.settings.on_save(self.keeper.checkpoint(save.at, save.record, save.costs))
        except Exception as error:  # noqa: BLE001 - of user code; it is reported at the next hook
            self._user_errors.append((save, error))

    def user_errors(self) -> Iterator[tuple[Save, Exception]]:
        """Yield each error that ``on_save`` has raised, once, with the save that it was called for."""
        while self._user_errors:
            yield self._user_errors.popleft()

    def direction(self, adapter: ModelAdapter) -> Direction:
        """Return how the monitored metric improves; determined once, when the metrics are built."""
        if self._direction is None:
            settings = self.settings
            self._direction = resolve_direction(settings.monitor, settings.mode, adapter.metric_directions())
            if self._direction.guessed:
                preflight.warn_of_guess(settings.owner, settings.monitor)
            else:
                self.keeper.ranking = {"monitor": settings.monitor, "mode": self._direction.mode}
        return self._direction

    def attach_late(self, metrics: Mapping[str, float], step: int) -> None:
        """Attach metrics logged after the last save to its checkpoint; those that it has already do not change."""
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
        """Wait until all saves have ended."""
        self._saver.wait()

    def wait(self, *, copies: bool = False) -> None:
        """Wait until all saves have ended and ``on_save`` has returned for each; with ``copies``, for mirrors, too."""
        self._saver.wait()
        if self.settings.on_save is not None:
            self._saver.wait_for_calls()
        for mirror in self.mirrors if copies else ():
            mirror.wait()

    def copy_failures(self) -> Iterator[str]:
        """Yield a message for each failed copy, once."""
        for mirror in self.mirrors:
            yield from mirror.failures()

    @property
    def under_way(self) -> Save | None:
        """The save that is not durable yet; None if all are."""
        return self._saver.under_way

    @property
    def unreported(self) -> tuple[Save, ...]:
        """The saves that :meth:`ended` has not yielded yet."""
        return self._saver.unreported

    @property
    def stats(self) -> list[SaveStats]:
        """The costs of the last thousand saves, in order."""
        return list(self._saver.stats)


def newest_first(engines: Sequence[Engine]) -> list[tuple[Location, Format]]:
    """Return the checkpoints of several engines, and their copies, that a restart may continue from, newest first."""
    copies = [mirror.series for each in engines for mirror in each.mirrors]
    return by_age([each.series for each in engines], copies)


def others_than(series: Series) -> list[Checkpoint]:
    """Return the checkpoints directly in the directory of a series that another template named, by step.

    Those of this process's other trainings are left out: a script may train in several phases.
    """
    found = Run(series.directory).directly_inside()
    known = {template for directory, template in _begun if directory == str(series.directory)}
    return [each for each in found if each.record is not None and each.record.template not in known]
