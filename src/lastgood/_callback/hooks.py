"""Which hook of ``fit`` does what, for every Keras. Decisions, saves and messages are elsewhere."""

import time
import warnings
from collections.abc import Mapping
from typing import Any

from .._engine import described, newest_first, others_than, parts, show_progress
from .._group import Meeting
from .._keras import FitAdapter, ModelAdapter, as_callback, fit_around, onlooker
from .._moment import Moment
from .._restoring import load_into
from .._resuming import FitSession
from .._storage import locate
from .last_hook import LastHook
from .names import MissingNames
from .stock_methods import StockMethods

# Hooks in which a callback may add a metric to the logs.
_LOGGING_HOOKS = ("on_train_batch_end", "on_test_end", "on_epoch_end")


class CheckpointHooks(StockMethods):
    """The hooks of the callback."""

    save_freq: Any
    save_last: bool
    resume: bool
    period: int
    load_weights_on_restart: bool

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Check before the first epoch what would fail after it, and load weights if requested.

        Raises:
            SaveError: An OSError: the directory cannot be created or written.
            ArgumentError: A ValueError: the format cannot hold this model.
            RestoreError: A ValueError: ``resume`` or ``load_weights_on_restart`` found a checkpoint that cannot be
                loaded.
            RunInUseError: An OSError: another process saves to these files, and this one would delete them or
                continue from them.
        """
        self._session = FitSession.joined(fit_around(self.model), self, self.model)
        try:
            self._begin()
        except BaseException:
            self.leave()
            raise

    def _begin(self) -> None:
        council = self._engine.council
        council.join(self._adapter(), self.filepath)
        self._saves.best_only = self.save_best_only  # until now, users may set this and ``verbose``
        self._announcer.verbose = self.verbose if council.group.is_chief else 0
        with council.beginning() as meeting:
            self._begin_with(meeting)

    def _begin_with(self, meeting: Meeting) -> None:
        fit, adapter = self._session.fit, self._adapter()
        self._begun = False
        self._saves.report(on_error="warn")  # of an earlier fit that ended before it could report
        self._saves.last_place = None
        self._missing = self._missing_names(adapter)
        training = self._training(adapter, Moment(1, None, "epoch"))
        self._engine.council.prepare(adapter, self._engine.settings.format)
        self._engine.begin(adapter, training, at_once=self._may_save_at_once(fit))
        parts.check_ways(self._engine.council, self._engine.series.directory, self._engine.settings.format, meeting)
        if "batch" in self._schedule.hooks and not fit.dispatch_in_turn():
            warnings.warn("Pass callbacks in a list: callbacks=[checkpoint], not callbacks=checkpoint.", stacklevel=2)
        if self.load_weights_on_restart:
            self._load_newest(adapter, meeting)
        if self.resume:
            self._resume(adapter, meeting)
        if self.save_last and fit.members:
            fit.append(as_callback(LastHook, self.generation)(self._end))
        self._saves.mark_in(fit.members)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note which epoch it is, and where its batches begin."""
        self._saves.report()
        if not self._begun:  # by now a restart knows which run it continues
            self._begun = True
            self._engine.note_begin(self._adapter(), self._session.resumed, **self._described())
            self._continue_steps()
        self._epoch = epoch
        self._schedule.begin(time.monotonic())
        self._session.begin_epoch(epoch)

    @property
    def on_train_batch_end(self) -> Any:
        """The hook for batches; Keras's empty one unless the schedule asks for batches or a signal has come.

        Keras calls batch-end hooks asynchronously only while every callback has the empty one, so a callback that saves
        by epoch must not have its own: that would slow down every batch.
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
        self._finish_if_seen("on_train_batch_end")

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Keep what a validation overwrites, in case a signal comes during it."""
        self._session.begin_validation(self._adapter())

    @property
    def on_test_batch_end(self) -> Any:
        """The hook that saves during a validation, once a signal has come; Keras's empty one before."""
        return self._on_validated_batch if self._session.signal is not None else super().on_test_batch_end

    def _on_validated_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        del batch
        batches = self._session.fit.batches
        if batches:
            self._stop_if_asked(self._moment("validation", batches, logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save if a save is due after this epoch."""
        self._saves.report()
        self._epoch = epoch
        self._session.end_epoch()
        moment = self._moment("epoch", None, logs)
        self._saves.note_epoch(moment)
        self._missing.look_at(moment.logs)
        self._ask(moment)
        self._stop_if_asked(moment)
        self._finish_if_seen("on_epoch_end")

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Wait until all saves are durable, then let a signal that came late take effect."""
        if not (self.save_last and self._session.fit.members):
            self._end(logs)

    def _end(self, logs: Mapping[str, Any] | None = None) -> None:
        """End training; with ``save_last``, this is called after all other callbacks' last hooks."""
        stopped = bool(getattr(self.model, "stop_training", False)) if self._begun else None
        with self._ending(stopped=stopped):
            moment = self._moment("end", None, logs)
            if self._begun:
                self._act(lambda: self._complete_saves(moment), moment, verdict=True)
            else:
                self._complete_saves(moment)
            self._saves.best.value = self._engine.council.share(self._saves.best.value)

    def _complete_saves(self, moment: Moment) -> None:
        """Save the final state if ``save_last`` is set, and wait until all saves are durable."""
        if self.save_last and self._begun:
            self._saves.save_last(moment, restored=self._session.fit.has_restored_weights)
        show_progress(self._engine.under_way, enabled=self.verbose >= 1)
        self._engine.wait(copies=True)
        self._saves.report()
        self._engine.council.raise_deferred()

    # Shared by the hooks

    def _described(self) -> dict[str, Any]:
        """Return what the journal records of this ``fit`` besides what the engine adds."""
        params = getattr(self, "params", None) or {}
        settings = described(
            save_best_only=self.save_best_only,
            save_freq=self.save_freq,
            period=self.period if self.period > 1 else None,
            initial_value_threshold=self._saves.best.threshold,
            save_last=self.save_last,
            resume=self.resume,
            load_weights_on_restart=self.load_weights_on_restart or None,
            verbose=self.verbose,
        )
        return {"settings": settings, **described(epochs=params.get("epochs"), batches=params.get("steps"))}

    def _may_save_at_once(self, fit: FitAdapter) -> bool:
        """Return True if a save may be due after the first step of training."""
        step = fit.steps_at_once
        one_step = fit.batches is not None and fit.batches <= step
        return one_step or ("batch" in self._schedule.hooks and self._schedule.may_come_within(step))

    def _ask(self, moment: Moment) -> None:
        """Save if the schedule says so, and report the cost to it."""
        if moment.hook not in self._schedule.hooks or not self._engine.council.is_due(self._schedule, moment):
            return
        started = time.monotonic()
        self._save_due(moment)
        self._schedule.saved(started, time.monotonic())
        news = self._schedule.news()
        if news:
            self._announcer.say(news, moment.epoch)

    def _stop_if_asked(self, moment: Moment) -> None:
        """If a signal has come, save, then let it take effect."""
        session = self._session
        if not session.may_stop(self):
            return
        try:
            self._act(lambda: self._saves.save_interrupted(moment), moment, verdict=True)
            self._engine.keeper.note("signal", name=session.signal)
            if self._engine.council.group.is_chief and self._engine.last is not None:
                self._announcer.interrupted(session.signal or "stopped", self._engine.last)
        finally:
            session.let_through()

    def _load_newest(self, adapter: ModelAdapter, meeting: Meeting) -> None:
        """Load the weights of the newest checkpoint that the chief sees, if there is one."""
        newest = self._engine.series.newest() if meeting.is_chief else None
        path = meeting.tell(None if newest is None else str(newest))
        if path is not None:
            load_into(adapter, newest or locate(path), self._engine.settings.format)

    def _resume(self, adapter: ModelAdapter, meeting: Meeting) -> None:
        """Resume from the newest checkpoint of all callbacks that resume; the first of them does so for all."""
        if self._engine.settings.format.own_save(adapter) is not None:
            warnings.warn(
                "A restart of this training will not be exact: the model has a method of its own that saves it, and "
                "only the model knows what it has saved.",
                stacklevel=4,
            )
        members = self._session.fit.members
        alike = [each for each in members if isinstance(each, CheckpointHooks) and each.resume] or [self]
        if alike[0] is self:
            engines = [each._engine for each in alike]
            signals = {number for engine in engines for number in engine.settings.signals}
            self._session.resume(adapter, lambda: newest_first(engines), self, signals, meeting)
            if meeting.is_chief and self._session.resumed is None:
                for engine in engines:
                    self._announcer.not_resumed(engine.settings.template.text, others_than(engine.series))

    def _missing_names(self, adapter: ModelAdapter) -> MissingNames:
        """Warn about names that training will not log; names that another callback may add are checked later."""
        settings, members = self._engine.settings, self._session.fit.members
        ranked = [settings.monitor] if settings.retention.keep_best else []
        names = [*([settings.monitor] if self.save_best_only else ranked), *settings.template.fields]
        others = [each for each in members if each is not self]
        alone = len(others) < len(members) and not any(onlooker(others, hook) for hook in _LOGGING_HOOKS)
        later = [] if self.save_best_only else ranked
        return MissingNames(names, later, adapter.log_names(), may_be_added=not alone)
