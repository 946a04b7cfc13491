"""Which hook of ``fit`` does what, for every Keras. What is decided, saved and said is elsewhere."""

import time
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from .._bytes.training_block import Training
from .._engine import Announcer, Engine, preflight, show_progress
from .._keras import FitAdapter, Generation, Hooks, ModelAdapter, adapt, adapter_class, as_callback, fit_around
from .._moment import Hook, Moment
from .._policies.schedule import Schedule
from .._restoring import load_into
from .._resuming import FitSession
from .._run import by_age
from .best import Best
from .last_hook import LastHook
from .saves import Saves
from .step_counter import StepCounter


class CheckpointHooks(Hooks):
    """The hooks of the callback, each of which reads as what happens there.

    Attributes:
        generation: The Keras whose ``fit`` calls them.
    """

    generation: ClassVar[Generation]
    save_last: bool
    resume: bool
    save_best_only: bool
    load_weights_on_restart: bool
    verbose: int

    def _assemble(self, engine: Engine, schedule: Schedule, best: Best) -> None:
        """Take what the hooks use; a constructor calls it."""
        self._engine = engine
        self._schedule = schedule
        self._announcer = Announcer(self.verbose, self.generation)
        self._saves = Saves(
            engine,
            best,
            self._announcer,
            best_only=self.save_best_only,
            adapter=self._adapter,
            training=self._training,
        )
        self._plain = adapter_class(self.generation).plain_logs
        self._session = FitSession(FitAdapter())
        self._begun = False
        self._epoch = 0
        self._steps_done = StepCounter()
        self._adapted: ModelAdapter | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Check, before the first epoch, what would fail after it; load weights if that was asked for.

        Raises:
            SaveError: An OSError: the directory cannot be made or written.
            ArgumentError: A ValueError: the format cannot hold this model.
            RestoreError: A ValueError: ``resume`` or ``load_weights_on_restart`` found a checkpoint that cannot be
                loaded.
            RunInUseError: An OSError: another process trains into these files, and this one would delete them or
                continue from them.
        """
        self._saves.best_only, self._announcer.verbose = self.save_best_only, self.verbose  # you may set them until now
        self._session = FitSession.of(fit_around(self.model))
        fit, adapter = self._session.fit, self._adapter()
        self._saves.report(on_error="warn")  # of an earlier fit, which ended before it could
        self._saves.last_place = None
        self._warn_of_names(adapter)
        self._engine.begin(adapter, self._training(adapter, Moment(1, None, "epoch")))
        if "batch" in self._schedule.hooks and not fit.dispatch_in_turn():
            warnings.warn("Pass callbacks in a list: callbacks=[checkpoint], not callbacks=checkpoint.", stacklevel=2)
        if self.load_weights_on_restart and (newest := self._engine.series.newest()):
            load_into(adapter, newest, self._engine.settings.format)
        if self.resume:
            self._resume(adapter)
        if self.save_last and fit.members:
            fit.append(as_callback(LastHook, self.generation)(self._end))
        self._begun = False
        self._saves.mark_in(fit.members)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note which epoch it is, and where its batches begin."""
        self._saves.report()
        if not self._begun:  # by now a restart has said which run it continues
            self._begun = True
            self._engine.note_begin(self._adapter(), self._session.resumed)
            self._continue_steps()
        self._epoch = epoch
        self._schedule.begin(time.monotonic())
        self._session.begin_epoch(epoch)

    @property
    def on_train_batch_end(self) -> Any:
        """The hook that looks at batches; Keras's empty one where the schedule does not ask for them.

        Keras calls batch-end hooks asynchronously only while every callback has the empty one, so a callback that saves
        by epoch must not have its own: it would cost every batch of training. It has one from a signal on.
        """
        looks = "batch" in self._schedule.hooks or self._session.signal is not None
        return self._on_batch_end if looks else super().on_train_batch_end

    def _on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._saves.report()
        steps = self._steps()
        # With steps_per_execution the last hook of an epoch gets the index that a full chunk would have ended at.
        moment = self._moment("batch", min(batch + 1, steps) if steps else batch + 1, logs)
        self._ask(moment)
        self._stop_if_asked(moment)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Keep what a validation overwrites, in case that a signal comes in the middle of it."""
        self._session.begin_validation(self._adapter())

    @property
    def on_test_batch_end(self) -> Any:
        """The hook that saves in the middle of a validation, once a signal has come; Keras's empty one before."""
        return self._on_validated_batch if self._session.signal is not None else super().on_test_batch_end

    def _on_validated_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        del batch
        batches = self._session.fit.batches
        if batches:
            self._stop_if_asked(self._moment("validation", batches, logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save, if this epoch is one to save."""
        self._saves.report()
        self._epoch = epoch
        self._session.end_epoch()
        moment = self._moment("epoch", None, logs)
        self._saves.note_epoch(moment)
        self._ask(moment)
        self._stop_if_asked(moment)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Wait until all saves are durable; a signal that came late is let through then."""
        if not (self.save_last and self._session.fit.members):
            self._end(logs)

    def _end(self, logs: Mapping[str, Any] | None = None) -> None:
        """End training; with ``save_last`` all other callbacks have ended theirs by now."""
        try:
            if self.save_last and self._begun:
                restored = self._session.fit.has_restored_weights
                self._saves.save_last(self._moment("end", None, logs), restored=restored)
            show_progress(self._engine.under_way, enabled=self.verbose >= 1)
            self._engine.wait()
            self._saves.report()
            self._engine.keeper.settle()
        finally:
            stopped = bool(getattr(self.model, "stop_training", False)) if self._begun else None
            self._engine.end(stopped=stopped)
            session, self._session = self._session, FitSession(FitAdapter())  # lets go of the data
            session.end()

    # What they share

    def _adapter(self) -> ModelAdapter:
        """Return the model. On jax that attaches training's state to it, which costs: only where a save is due."""
        model = self.model
        if self._adapted is None or self._adapted.model is not model:
            self._adapted = adapt(model)
        return self._adapted

    def _moment(self, hook: Hook, batch: int | None, logs: Mapping[str, Any] | None) -> Moment:
        """Return where training is, when a hook was called with some logs after so many batches of the epoch."""
        epoch = self._epoch + 1
        return Moment(
            epoch,
            batch,
            hook,
            time.monotonic(),
            self._engine.under_way is not None,
            lambda: self._plain(logs or {}),
            lambda: self._step(epoch, batch),
        )

    def _step(self, epoch: int, batch: int | None) -> int:
        """Return the step after so many batches of an epoch, counted from 1."""
        return self._steps_done.step(self._count(epoch, batch))

    def _count(self, epoch: int, batch: int | None) -> int:
        """Return the updates by the optimizer; of a model that trains without one, the batches are counted."""
        iterations = self._adapter().iterations()
        if iterations is not None:
            return iterations
        steps = self._steps() or 1
        return epoch * steps if batch is None else (epoch - 1) * steps + batch

    def _continue_steps(self) -> None:
        """After a restart, count from the step of the checkpoint."""
        record = self._session.record
        if record is not None:
            self._steps_done.continue_from(record.step, self._count(record.epoch, record.batch))

    def _steps(self) -> int | None:
        """Return the batches of an epoch; None where Keras does not know them yet."""
        return (getattr(self, "params", None) or {}).get("steps")

    def _training(self, adapter: ModelAdapter, moment: Moment) -> Training:
        """Return what makes the training state of a save at a moment."""
        session = self._session
        return lambda unsaved: session.block(adapter, unsaved, moment, self)

    def _ask(self, moment: Moment) -> None:
        """Save if the schedule says so, and let it know what that cost."""
        if moment.hook not in self._schedule.hooks or not self._schedule.due(moment):
            return
        started = time.monotonic()
        self._saves.save_if_allowed(moment)
        self._schedule.saved(started, time.monotonic())
        news = self._schedule.news()
        if news:
            self._announcer.say(news, moment.epoch)

    def _stop_if_asked(self, moment: Moment) -> None:
        """If a signal has come, save, and let it do what it would have done."""
        session = self._session
        if not session.may_stop(self):
            return
        try:
            self._saves.save_interrupted(moment)
            self._engine.keeper.note("signal", name=session.signal)
        finally:
            session.let_through()

    def _resume(self, adapter: ModelAdapter) -> None:
        """Continue from the newest checkpoint of all callbacks that resume; the first of them does so for all."""
        members = self._session.fit.members
        alike = [each for each in members if isinstance(each, CheckpointHooks) and each.resume] or [self]
        if alike[0] is self:
            self._session.resume(adapter, by_age(each._engine.series for each in alike), self)

    def _warn_of_names(self, adapter: ModelAdapter) -> None:
        """Warn of names that training will not log."""
        logged, settings = adapter.log_names(), self._engine.settings
        if logged is None:
            return
        monitors = self.save_best_only or settings.retention.keep_best
        names = [*([settings.monitor] if monitors else ()), *settings.template.fields]
        for text in preflight.name_warnings(names, logged):
            warnings.warn(text, stacklevel=3)
