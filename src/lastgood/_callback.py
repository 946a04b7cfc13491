"""Which hook of ``fit`` does what, for every Keras. Decisions are in ``_policies``, the saving in ``_checkpointer``."""

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from . import _arguments, _frameworks, _preflight
from ._checkpointer import Save, Saver, SaveStats, describe, environment
from ._errors import PlaceholderError
from ._fit import Fit
from ._formats import Format
from ._frameworks import Hooks
from ._layout.training_block import Training
from ._neighbours import TensorBoardMarks
from ._policies.monitor import Direction, Verdict, judge, resolve_direction
from ._policies.naming import Template
from ._policies.retention import Retention
from ._policies.save import BatchCount, Budget, Pace, parse_on_error, parse_period, parse_save_freq
from ._progress import show_progress
from ._record import Record
from ._restore import load_weights_as
from ._run import Run, by_age, matching_directories, newest_checkpoint
from ._run.keeper import Keeper
from ._storage import choose_storage
from ._training.course import Course
from ._training.ending import Ending

_LOGGER = logging.getLogger("lastgood")


class CheckpointCallback(Hooks):
    """Saves the model, or its weights, while ``fit()`` runs; a face adds the base and the formats of one Keras.

    Attributes:
        best: The best monitored value of the saves so far; None before the first. It moves when a save has succeeded.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int | timedelta | Budget = "epoch",
        options: Any = None,
        initial_value_threshold: float | None = None,
        *,
        background: bool = True,
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        save_last: bool = False,
        resume: bool = False,
        on_error: str = "raise",
        **kwargs: Any,
    ) -> None:
        """Make the callback.

        Args:
            filepath: Where to save. May hold ``{epoch}``, ``{batch}`` (both from 1) and the name of any logged metric,
                each with a format, as in ``"{epoch:02d}-{val_loss:.2f}.keras"``. The ending chooses the format:
                ``.keras``, ``.weights.h5`` (weights only), ``.h5`` or ``.hdf5`` (legacy), none (a directory).
            monitor: Name of the metric that says what is best, as ``history.history`` shows it.
            verbose: 0 is silent, 1 prints a line for each save and for each time there was none, 2 adds what it cost.
            save_best_only: Save only when the monitored metric is strictly better than ever before.
            save_weights_only: Save weights and optimizer state rather than the whole model.
            mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name, then by the metric itself.
            save_freq: ``"epoch"``; after how many batches to save, counted across epochs; after how much time, a
                ``timedelta``; or a :class:`Budget`, which chooses the time so that saves cost no more than a share.
            options: For TensorFlow's own formats, which only tf_keras writes: a ``tf.train.CheckpointOptions`` with
                ``save_weights_only``, else a ``tf.saved_model.SaveOptions``.
            initial_value_threshold: The value that the first save has to beat.
            background: Let training go on while a save is being written; it waits only for the copy of its state.
            keep_last: How many of the newest checkpoints to keep. With this or one of the next two, those that none of
                them keeps are deleted behind each save; the best, the latest and the pinned ones always stay.
            keep_best: How many of the best by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of so many steps, or the first of each such
                span of time.
            save_last: Save once more when training ends, also when a callback has stopped it.
            resume: Go on from the newest intact checkpoint of ``filepath``, if there is one, as if training had never
                stopped; and save once more when SIGTERM or SIGINT asks for an end.
            on_error: ``"raise"`` ends training with the error of a save that failed; ``"warn"`` warns of it, goes on,
                and tries again with the next save.
            **kwargs: The deprecated ``period`` (epochs between saves) and ``load_weights_on_restart``.

        Raises:
            ArgumentError: A ValueError: an argument's value cannot work.
            ArgumentTypeError: A TypeError: an argument has the wrong type, or there is no such argument.
        """
        super().__init__()
        self.filepath = _arguments.as_string(filepath)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = parse_save_freq(save_freq)
        self.mode = _arguments.known_mode(mode, type(self).__name__)
        self.best = initial_value_threshold
        self._promised = self.best  # what it will be when the save under way is durable
        self._template = Template(self.filepath)
        self._format = self._choose_format(self.filepath, self._template.suffix, save_weights_only, options)
        self._storage = choose_storage(self.filepath)
        self._saver = Saver(self._format, self._storage, background=background)
        retention = Retention.parse(keep_last, keep_best, keep_every)
        self._keeper = Keeper(self._template, retention, self._storage, resumes=resume)
        self._pace = Pace(self.save_freq) if isinstance(self.save_freq, timedelta | Budget) else None
        self._interval: float | None = None  # what was said last of a budget's
        self._last: _Last | None = None
        self.save_last = save_last
        self.on_error = parse_on_error(on_error)
        self.resume = resume
        self._course = Course(Fit())
        self._saved_at: tuple[int, int | None] | None = None
        self._marks = TensorBoardMarks(())
        self._noted = self._begun = False
        self._direction: Direction | None = None
        self._batches = BatchCount()
        self._epoch = 0
        self.epochs_since_last_save = 0
        _arguments.check_options(options, self._format, self.filepath, weights_only=save_weights_only)
        _arguments.warn_of_deprecated(kwargs, type(self).__name__)
        self.period = parse_period(kwargs.get("period", 1))
        self.load_weights_on_restart = bool(kwargs.get("load_weights_on_restart", False))
        self._settle()

    def _choose_format(self, filepath: str, suffix: str, weights_only: bool, options: Any) -> Format:
        """Return the format that a path asks for, of those that this Keras has.

        Raises:
            ArgumentError: It has none.
        """
        raise NotImplementedError

    def _settle(self) -> None:
        """Do what a face has to do when all arguments are in place."""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Check, before the first epoch, what would fail after it; load weights if that was asked for.

        Raises:
            SaveError: An OSError: the directory cannot be made or written.
            ArgumentError: A ValueError: the format cannot hold this model.
            RestoreError: A ValueError: ``resume`` or ``load_weights_on_restart`` found a checkpoint that cannot be
                loaded.
            RunInUseError: An OSError: another process trains into these files, and this one would delete them or go on
                from them.
        """
        self._course = Course(_frameworks.fit_around(self.model))
        self._take_part()
        self._tell(on_error="warn")  # of an earlier fit, which ended before it could
        for directory in matching_directories(self._template):
            self._storage.reclaim(directory)
        _preflight.check_target(self._template, self._format, self._storage)
        self._format.check_model(self.model)
        self._warn_ahead()
        taken = self._keeper.publishes and _preflight.check_free(
            self._keeper, self.filepath, refuse=self.resume or self._keeper.retention.prunes
        )
        if taken:
            warnings.warn(taken, stacklevel=2)
        if self.save_freq != "epoch" and not self._course.fit.dispatch_in_turn():
            warnings.warn("Pass callbacks in a list: callbacks=[checkpoint], not callbacks=checkpoint.", stacklevel=2)
        self._saver.prepare(self.model, self.filepath, self._training_at((0, None), {}, "epoch"))
        self._saved_at = self._last = None
        if self.load_weights_on_restart:
            self._load_newest()
        if self.resume:
            self._resume()
        if self.save_last and self._course.fit.members:
            self._course.fit.append(_frameworks.as_callback(Ending, _frameworks.of(self.model))(self._end))
        self._begun = False
        self._marks = TensorBoardMarks(self._course.fit.members)

    def _take_part(self) -> None:
        """Find out whether the checkpoints of this process are the ones that appear, of all that train in step."""
        self._storage.publishes = self._keeper.publishes = _frameworks.of(self.model).is_chief(self.model)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note which epoch it is, and where its batches begin."""
        self._tell()
        if not self._begun:  # by now a restart has said which run it goes on with
            self._begun = True
            self._keeper.note("begin", resumed=self._course.resumed, environment=environment(self.model))
        self._epoch = epoch
        self._batches = self._batches.at_epoch_begin()
        if self._pace is not None:
            self._pace.begin(time.monotonic())
        self._course.begin_epoch(epoch)

    @property
    def on_train_batch_end(self) -> Any:
        """The hook that counts batches; Keras's empty one where saves come by epoch.

        Keras calls batch-end hooks asynchronously only while every callback has the empty one, so a callback that saves
        by epoch must not have its own: it would cost every batch of training. It has one from a signal on.
        """
        counts = self.save_freq != "epoch" or self._course.asked_to_stop
        return self._on_counted_batch_end if counts else super().on_train_batch_end

    def _on_counted_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._tell()
        self._batches = self._batches.after(batch, self._steps())
        done = (self._batches.last or 0) + 1
        if isinstance(self.save_freq, int) and self._batches.since_save >= self.save_freq:
            self._batches = self._batches.saved()
            self._save_if_due(done, logs or {})
        elif self._pace is not None:
            self._save_in_pace(self._pace, done, logs or {})
        self._stop_if_asked(done, logs or {}, "batch")

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Keep what a validation overwrites, in case that a signal comes in the middle of it."""
        self._course.begin_validation(self.model)

    @property
    def on_test_batch_end(self) -> Any:
        """The hook that saves in the middle of a validation, once a signal has come; Keras's empty one before."""
        return self._on_validated_batch if self._course.asked_to_stop else super().on_test_batch_end

    def _on_validated_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        del batch
        batches = self._course.fit.batches
        if batches:
            self._stop_if_asked(batches, logs or {}, "validation")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save, if saves come by epoch and this one is due."""
        self._tell()
        self._epoch = epoch
        self._course.end_epoch()
        self.epochs_since_last_save += 1
        self._note_epoch(logs or {})
        if self.save_freq == "epoch" and self.epochs_since_last_save >= self.period:
            self.epochs_since_last_save = 0
            self._save_if_due(None, logs or {})
        self._stop_if_asked(None, logs or {}, "epoch")

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Wait until all saves are durable; a signal that came late is let through then."""
        if not (self.save_last and self._course.fit.members):
            self._end(logs)

    def _end(self, logs: Mapping[str, Any] | None = None) -> None:
        """End training; with ``save_last`` all other callbacks have ended theirs by now."""
        try:
            if self.save_last and self._begun:
                self._save_last(logs or {})
            show_progress(self._saver, enabled=self.verbose >= 1)
            self._saver.wait()
            self._tell()
            self._keeper.settle()
        finally:
            self._course.end()
            if self._begun:
                self._keeper.note("end", stopped=bool(getattr(self.model, "stop_training", False)))
            self._keeper.release()
            self._course = Course(Fit())  # lets go of the data

    def get_state(self) -> dict[str, Any]:
        """Return what this callback knows: ``best``, and what has been counted since the last save."""
        count = {"since_save": self._batches.since_save, "last": self._batches.last}
        return {
            "best": self._promised,
            "batches": count,
            "epochs_since_save": self.epochs_since_last_save,
            "run": self._keeper.name,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`get_state` returned."""
        self.best = self._promised = state["best"]
        self._batches = BatchCount(**state["batches"])
        self.epochs_since_last_save = state["epochs_since_save"]
        self._keeper.name = state["run"]

    def wait(self) -> None:
        """Return when all saves so far are durable.

        Raises:
            SaveError: An OSError: one of them could not be written.
        """
        self._saver.wait()
        self._tell(on_error="raise")

    @property
    def run(self) -> Run:
        """The directory that this callback saves into, to look at its checkpoints."""
        return self._keeper.run

    @property
    def stats(self) -> list[SaveStats]:
        """What each of the last thousand saves of this callback cost, in order: sizes in bytes, times in seconds."""
        return list(self._saver.stats)

    def _save_if_due(self, batch: int | None, logs: Mapping[str, Any]) -> None:
        """Save what the monitored metric allows; ``best`` moves only when the save is durable.

        Args:
            batch: Batches done in this epoch; None at its end.
            logs: The logs of the hook.
        """
        path = self._template.path(epoch=self._epoch + 1, batch=batch, logs=logs)
        if not self.save_best_only:
            self._say(f"saving model to {path}")
            self._save(path, batch, logs)
            return
        mode = "min" if logs.get(self.monitor) is None else self._resolved_direction().mode
        verdict, current = judge(self.monitor, logs, self.best, mode)
        if verdict is Verdict.IMPROVED and self._saver.under_way:
            # What is being written may be better still. It is so only if that save succeeds.
            self._saver.wait()
            self._tell()
            verdict, current = judge(self.monitor, logs, self.best, mode)
        so_far = self._promised if self._saver.under_way else self.best
        best = "None" if so_far is None else f"{so_far:.5f}"
        if verdict is Verdict.MISSING:
            text = f"Can save best model only with {self.monitor} available, skipping."
            warnings.warn(f"{text} Available: {', '.join(sorted(logs)) or 'nothing'}.", stacklevel=2)
        elif verdict is Verdict.NOT_IMPROVED:
            self._say(f"{self.monitor} did not improve from {best}")
        else:
            self._say(f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}")
            self._save(path, batch, logs, best=current)

    def _save(
        self, path: str, batch: int | None, logs: Mapping[str, Any], best: float | None = None, hook: str = ""
    ) -> None:
        """Begin a save.

        Args:
            path: Where to.
            batch: Batches done in this epoch; None at its end.
            logs: The logs of the hook.
            best: What ``best`` becomes when the save is durable; None leaves it.
            hook: Which hook it is in, where ``batch`` does not tell.
        """
        interrupted = self._template.beside("interrupted")

        def on_commit(save: Save) -> None:
            if best is not None:
                self.best = best
            self._keeper.committed(Path(path), record, save.costs, self.monitor, mode)
            if self.resume and path != interrupted:  # what a signal made it save is older now
                with contextlib.suppress(OSError):
                    self._storage.discard(Path(interrupted))

        self._promised = best if best is not None else self._promised if self._saver.under_way else self.best
        model = self.model  # on jax this attaches the state to the model, which costs: only where a save is due
        record = self._describe(model, batch, logs)
        mode = self._resolved_direction().mode if self._keeper.retention.prunes else "min"
        try:
            hook = hook or ("epoch" if batch is None else "batch")
            self._saver.save(model, path, record, self._training_at((self._epoch, batch), logs, hook), on_commit)
            self._saved_at = (self._epoch, batch)
            self._last = _Last(Path(path), record, self._epoch)
        except Exception as error:
            self._promised = self.best
            if self.on_error == "raise":
                raise
            self._warn_of(error)
        self._tell()

    def _describe(self, model: Any, batch: int | None, logs: Mapping[str, Any]) -> Record:
        return describe(
            model,
            self._format,
            epoch=self._epoch + 1,
            batch=batch,
            steps=self._steps(),
            logs=logs,
            run=self._keeper.name,
            template=self._keeper.template,
        )

    def _save_in_pace(self, pace: Pace, batch: int, logs: Mapping[str, Any]) -> None:
        """Save if the clock says so, and tell a budget what it cost."""
        started = time.monotonic()
        pace.batch(started, saving=self._saver.under_way is not None)
        if not pace.due(started):
            return
        self._save_if_due(batch, logs)
        pace.saved(started, time.monotonic())
        interval, cost = pace.interval or 0.0, pace.cost or 0.0
        changed = self._interval is None or not 0.5 < interval / self._interval < 2
        if isinstance(self.save_freq, Budget) and changed:
            self._interval = interval
            self._say(
                f"a save costs training {cost:.3f} s, so saves are {interval:.1f} s apart, to cost "
                f"{100 * self.save_freq.overhead:g} % of it; a crash loses that much training at most"
            )

    def _save_last(self, logs: Mapping[str, Any]) -> None:
        """Save the state that training ends with, unless that has been done; never in another one's place."""
        saved = self._last is not None and self._last.record.step == self._describe(self.model, None, logs).step
        if saved and not self._course.fit.has_restored_weights:
            return
        aside = self._template.beside("last")
        try:
            usual = self._template.path(epoch=self._epoch + 1, batch=None, logs=logs)
        except PlaceholderError:  # a metric that this epoch has not
            usual = aside
        path = aside if saved or self.save_best_only else usual
        self._say(f"saving the last model to {path}")
        self._save(path, None, logs)

    def _note_epoch(self, logs: Mapping[str, Any]) -> None:
        """Note an epoch's metrics; those that the checkpoint lacks that was saved last in it become its own."""
        if not self._keeper.is_kept:
            return
        here = self._describe(self.model, None, logs)
        self._keeper.note("epoch", epoch=here.epoch, step=here.step, metrics=dict(here.metrics))
        if self._last is None or self._last.epoch != self._epoch:
            return
        late = {name: here.metrics[name] for name in here.metrics.keys() - self._last.record.metrics.keys()}
        if late:
            self._keeper.late(self._last.path, self._last.record, late, here.step)

    def _training_at(self, place: tuple[int, int | None], logs: Mapping[str, Any], hook: str) -> Training:
        """Return what makes the training state of a save at ``place``: an epoch, and the batches of it."""
        return lambda unsaved: self._course.session.block(self.model, unsaved, place, logs, self, hook=hook)

    def _resume(self) -> None:
        """Go on from the newest checkpoint of all callbacks that resume; the first of them does so for all."""
        alike = [m for m in self._course.fit.members if isinstance(m, CheckpointCallback) and m.resume] or [self]
        if alike[0] is self:
            self._course.go_on(self.model, by_age((each._template, each._format) for each in alike))

    def _stop_if_asked(self, batch: int | None, logs: Mapping[str, Any], hook: str) -> None:
        """If a signal has come, save, and let it do what it would have done.

        Args:
            batch: Batches done in this epoch; None at its end.
            logs: The logs of the hook.
            hook: Which hook it is in.
        """
        if not self._course.may_stop:
            return
        try:
            if self._saved_at != (self._epoch, batch):
                self._save(self._template.beside("interrupted"), batch, logs, hook=hook)
            self._saver.wait()
            self._tell()
            self._keeper.note("signal", name=self._course.signal)
        finally:
            self._course.let_through()

    def _tell(self, on_error: str | None = None) -> None:
        """Say what came of the saves that have ended since the last time.

        Args:
            on_error: What to do about one that failed, where it is not what the user chose.
        """
        for save in self._saver.told():
            if save.error is None:
                if save.note and not self._noted:
                    self._noted = True
                    self._say(save.note, epoch=save.record.epoch)
                self._marks.mark(save.path, save.record, int(save.costs.get("size", 0)))
                cost = f": {save.stats}" if self.verbose >= 2 else ""
                self._say(f"finished saving model to {save.path}{cost}", epoch=save.record.epoch)
                continue
            self._promised = self.best
            self._last = None
            if (on_error or self.on_error) == "raise" or not isinstance(save.error, Exception):
                raise save.error
            self._warn_of(save.error)

    def _warn_of(self, error: BaseException) -> None:
        warnings.warn(f"Epoch {self._epoch + 1}: {error} Training goes on; the next save tries again.", stacklevel=2)

    def _steps(self) -> int | None:
        """Return the batches of an epoch; None where Keras does not know them yet."""
        return (getattr(self, "params", None) or {}).get("steps")

    def _resolved_direction(self) -> Direction:
        """Return the way in which the monitored metric improves; asked once, when the metrics are built."""
        if self._direction is None:
            known = _frameworks.of(self.model).metric_directions(self.model)
            self._direction = resolve_direction(self.monitor, self.mode, known)
            if self._direction.guessed:
                warnings.warn(
                    f"ModelCheckpoint takes less '{self.monitor}' to be better, since nothing says otherwise. "
                    "Pass mode='min' or mode='max'.",
                    stacklevel=2,
                )
        return self._direction

    def _warn_ahead(self) -> None:
        """Warn of names that will not be logged, and of a disk that is nearly full."""
        model = self.model
        logged = _frameworks.of(model).log_names(model)
        if logged is not None:
            monitors = self.save_best_only or self._keeper.retention.keep_best
            names = ([self.monitor] if monitors else []) + list(self._template.fields)
            for text in _preflight.name_warnings(names, logged):
                warnings.warn(text, stacklevel=2)
        directory = Path(self._template.components()[0])
        short = _preflight.space_warning(directory, _frameworks.state_bytes(model), self._storage)
        if short:
            warnings.warn(short, stacklevel=2)

    def _load_newest(self) -> None:
        path = newest_checkpoint(self._template, self._format)
        if path is not None:
            load_weights_as(self.model, path, self._format)

    def _say(self, text: str, epoch: int | None = None) -> None:
        """Print a line where Keras would: on stdout, or in the log where interactive logging is off."""
        if self.verbose < 1:
            return
        line = f"\nEpoch {epoch or self._epoch + 1}: {text}"
        if _frameworks.of(self.model).is_interactive():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        else:
            _LOGGER.info(line)


@dataclass(frozen=True)
class _Last:
    """The save that was begun last in a fit."""

    path: Path
    record: Record
    epoch: int
