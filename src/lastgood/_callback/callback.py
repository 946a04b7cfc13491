"""The callback's constructor, and what you can ask of it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .._engine import Background, Engine, OnSave, Settings, moved
from .._errors import ArgumentError
from .._policies.retention import KeepPolicy
from .._policies.schedule import Batches, Epochs, Schedule, parse_schedule, whole_number
from .._run import Run
from .._saving import SaveStats
from .arguments import warn_of_deprecated
from .best import Best
from .hooks import CheckpointHooks


class CheckpointCallback(CheckpointHooks):
    """Saves the model, or its weights, while ``fit()`` runs; a subclass adds the base of one Keras."""

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int | timedelta | Schedule = "epoch",
        options: Any = None,
        initial_value_threshold: float | None = None,
        *,
        background: Background = "auto",
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        keep: KeepPolicy | None = None,
        save_last: bool = False,
        resume: bool = False,
        on_error: str = "raise",
        on_save: OnSave | None = None,
        mirror: str | os.PathLike[str] | None = None,
        signals: Iterable[str | int] | None = None,
        timeout: float = 120.0,
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
                ``timedelta``; :class:`Epochs`; a :class:`Budget`, which chooses the time so that saves cost no more
                than a share; or an object of your own with a method ``due(moment)``.
            options: For TensorFlow's own formats, which only tf_keras writes: a ``tf.train.CheckpointOptions`` with
                ``save_weights_only``, else a ``tf.saved_model.SaveOptions``.
            initial_value_threshold: The value that the first save has to beat.
            background: Let training go on while a save is being written: True always, False never. ``"auto"`` does,
                unless somebody may look at the file: a callback with code of your own, or a script that calls the
                hooks itself. They find the checkpoint whole. Callbacks that say ``async_safe = True``, Keras's own and
                those of common loggers do not count.
            keep_last: How many of the newest checkpoints to keep. With this or one of the next three, those that none
                of them keeps are deleted after each save; the best, the latest and the pinned ones always stay.
            keep_best: How many of the best by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of so many steps, or the first of each such
                span of time.
            keep: A policy of your own: an object with a method ``should_keep(records, context)``.
            save_last: Save once more when training ends, also when a callback has stopped it.
            resume: Continue from the newest intact checkpoint of ``filepath``, if there is one, as if training had
                never stopped; and save once more when SIGTERM or SIGINT asks for an end.
            on_error: ``"raise"`` ends training with the error of a save that failed; ``"warn"`` warns of it, continues,
                and tries again with the next save.
            on_save: A function of yours that is called with the :class:`Checkpoint` of each save once that is durable,
                to upload it or to tell somebody. Training goes on meanwhile; the next save waits until it returns. What
                it raises is treated as ``on_error`` says.
            mirror: A directory, as a path or a URL such as ``"s3://bucket/run"``, that each checkpoint is copied to
                while training goes on: for fast saves to a local disk of a machine that may disappear. What
                ``keep_last`` and the like say is kept there, too. Where copies are slower than saves, those in between
                are left out; training ends when the newest is there. ``resume`` takes the newest of both.
            signals: Names of the signals on which to save once more before they do what they would have done, such as
                ``["SIGUSR1", "SIGTERM"]`` on a cluster that warns so of the end; None stands for SIGTERM and SIGINT.
            timeout: How many seconds the processes of a training of several wait for one another at a save, before it
                fails on all of them.
            **kwargs: The deprecated ``period`` (epochs between saves) and ``load_weights_on_restart``.

        Raises:
            ArgumentError: A ValueError: an argument's value cannot work.
            ArgumentTypeError: A TypeError: an argument has the wrong type, or there is no such argument.
        """
        super().__init__()
        settings = Settings.parse(
            filepath,
            owner=type(self).__name__,
            generation=self.generation,
            monitor=monitor,
            mode=mode,
            weights_only=save_weights_only,
            options=options,
            background=background,
            keep_last=keep_last,
            keep_best=keep_best,
            keep_every=keep_every,
            keep=keep,
            on_error=on_error,
            on_save=on_save,
            mirror=mirror,
            signals=signals,
            timeout=timeout,
        )
        if signals is not None and not resume:
            raise ArgumentError("signals takes effect with resume=True alone. Pass that, too.")
        warn_of_deprecated(kwargs, type(self).__name__)
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.mode, self.save_freq = settings.mode, save_freq
        self.save_last, self.resume, self.on_error = save_last, resume, settings.on_error
        self.period = whole_number("period", kwargs.get("period", 1), "epochs")
        self.load_weights_on_restart = bool(kwargs.get("load_weights_on_restart", False))
        engine = Engine(settings)
        if resume:
            engine.continue_run()
        self._assemble(engine, parse_schedule(save_freq, self.period), Best(initial_value_threshold))
        self._complete()
        self._warn_of_overrides()

    def _complete(self) -> None:
        """Set what a Keras looks for besides; a subclass does so here, and keeps the constructor's signature."""

    @property
    def filepath(self) -> str:
        """The template of the paths; you may set another, and the next save goes there."""
        return self._engine.settings.template.text

    @filepath.setter
    def filepath(self, filepath: str | os.PathLike[str]) -> None:
        self._engine.change(moved(self._engine.settings, filepath))

    @property
    def monitor(self) -> str:
        """The metric that says what is best; you may set another."""
        return self._engine.settings.monitor

    @monitor.setter
    def monitor(self, monitor: str) -> None:
        self._engine.change(replace(self._engine.settings, monitor=monitor))

    @property
    def best(self) -> float | None:
        """The best monitored value of the saves that have succeeded; None before the first."""
        return self._saves.best.seen_with(self._engine.unreported)

    @best.setter
    def best(self, value: float | None) -> None:
        self._saves.best.value = self._saves.best.coming = value

    @property
    def epochs_since_last_save(self) -> int:
        """Epochs that have ended since the last save that was due, where saves come by epoch."""
        return self._schedule.since if isinstance(self._schedule, Epochs) else 0

    @epochs_since_last_save.setter
    def epochs_since_last_save(self, count: int) -> None:
        if isinstance(self._schedule, Epochs):
            self._schedule.since = count

    @property
    def run(self) -> Run:
        """The directory that this callback saves into, to look at its checkpoints."""
        return self._engine.keeper.run

    @property
    def stats(self) -> list[SaveStats]:
        """What each of the last thousand saves of this callback cost, in order: sizes in bytes, times in seconds."""
        return self._engine.stats

    def wait(self) -> None:
        """Return when all saves so far are durable.

        Raises:
            SaveError: An OSError: one of them could not be written.
        """
        self._engine.wait()
        self._saves.report(on_error="raise")
        self._engine.keeper.settle()

    def get_state(self) -> dict[str, Any]:
        """Return what this callback knows: ``best``, and what its schedule has counted since the last save."""
        return {
            "best": self._saves.best.coming,
            "schedule": {"kind": self._schedule.kind, "state": dict(self._schedule.get_state())},
            "epochs_since_save": self.epochs_since_last_save,
            "run": self._engine.keeper.name,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`get_state` returned."""
        self.best = state["best"]
        self.epochs_since_last_save = state["epochs_since_save"]
        schedule = state.get("schedule")
        if schedule is not None and schedule["kind"] == self._schedule.kind:
            self._schedule.set_state(schedule["state"])
        elif schedule is None and isinstance(self._schedule, Batches):  # as version 0.1.0 kept its count
            self._schedule.set_state(state["batches"])
        self._engine.keeper.name = state["run"]
