"""The callback's constructor, properties and public methods."""

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
    """A callback that saves the model or its weights during ``fit()``; subclasses add the base class of one Keras."""

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
        """Create the callback.

        Args:
            filepath: Where to save. Can contain ``{epoch}``, ``{batch}`` (both from 1) and the name of any logged
                metric, each with a format, as in ``"{epoch:02d}-{val_loss:.2f}.keras"``. The ending determines the
                format: ``.keras``, ``.weights.h5`` (weights only), ``.h5`` or ``.hdf5`` (legacy), none (a directory).
            monitor: The metric that determines which checkpoint is best, named as in ``history.history``.
            verbose: 0 is silent; 1 prints a line for each save, and for each time the metric did not improve; 2 adds
                the costs of each save.
            save_best_only: Save only when the monitored metric is strictly better than ever before.
            save_weights_only: Save weights and optimizer state rather than the whole model.
            mode: ``"min"``, ``"max"``, or ``"auto"``, which decides by the metric's name, then by the metric itself.
            save_freq: When to save: ``"epoch"``; a number of batches, counted across epochs; a ``timedelta``; an
                :class:`Epochs`; a :class:`Budget`, which chooses the interval so that saves cost at most a share of
                training time; or an object of your own with a method ``due(moment)``.
            options: For TensorFlow's own formats, which only tf_keras writes: a ``tf.train.CheckpointOptions`` with
                ``save_weights_only``, otherwise a ``tf.saved_model.SaveOptions``.
            initial_value_threshold: The value that the first save has to beat.
            background: Whether training continues while a save is written: True always, False never, and ``"auto"``
                unless somebody may look at the file: a callback with code of your own, or a script that calls the
                hooks itself. They find the checkpoint complete. Callbacks that set ``async_safe = True``, Keras's own
                and those of common loggers do not count.
            keep_last: How many of the newest checkpoints to keep. With this or one of the next three, checkpoints that
                none of them keeps are deleted after each save; the best, the latest and pinned ones always stay.
            keep_best: How many of the best checkpoints by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of this many steps, or, with a
                ``timedelta``, the first in each such span of time.
            keep: A policy of your own: an object with a method ``should_keep(records, context)``.
            save_last: Save once more when training ends, even if a callback stopped it.
            resume: Continue from the newest intact checkpoint of ``filepath``, if there is one, as if training had
                never stopped; and save once more on SIGTERM or SIGINT.
            on_error: ``"raise"`` ends training with the error of a failed save; ``"warn"`` warns about it, continues,
                and tries again with the next save.
            on_save: A function that is called with the :class:`Checkpoint` of each save once it is durable, to upload
                it or to notify somebody. Training continues meanwhile; the next save waits until the function returns.
                Its exceptions are handled as ``on_error`` says.
            mirror: A directory, as a path or a URL such as ``"s3://bucket/run"``, that each checkpoint is copied to
                while training continues: for fast saves to the local disk of a machine that may disappear.
                ``keep_last`` and the like apply there, too. If copies are slower than saves, those in between are
                skipped; training ends once the newest is copied. ``resume`` takes the newest of both places.
            signals: Names of the signals on which to save once more before they take effect, such as
                ``["SIGUSR1", "SIGTERM"]`` on a cluster that sends them before a job ends; None stands for SIGTERM and
                SIGINT.
            timeout: How many seconds processes that train together wait for one another at a save before it fails on
                all of them.
            **kwargs: The deprecated ``period`` (epochs between saves) and ``load_weights_on_restart``.

        Raises:
            ArgumentError: A ValueError: an argument has an invalid value.
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
            raise ArgumentError("signals takes effect only with resume=True. Pass that, too.")
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
        """Set what else a Keras looks for; a subclass does so here, so as to keep the constructor's signature."""

    @property
    def filepath(self) -> str:
        """The template of the paths; if you set another, the next save uses it."""
        return self._engine.settings.template.text

    @filepath.setter
    def filepath(self, filepath: str | os.PathLike[str]) -> None:
        self._engine.change(moved(self._engine.settings, filepath))

    @property
    def monitor(self) -> str:
        """The metric that determines which checkpoint is best; you may set another."""
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
        """The epochs since a save was last due; 0 if the schedule does not count epochs."""
        return self._schedule.since if isinstance(self._schedule, Epochs) else 0

    @epochs_since_last_save.setter
    def epochs_since_last_save(self, count: int) -> None:
        if isinstance(self._schedule, Epochs):
            self._schedule.since = count

    @property
    def run(self) -> Run:
        """The run that this callback saves into, for access to its checkpoints."""
        return self._engine.keeper.run

    @property
    def stats(self) -> list[SaveStats]:
        """The costs of this callback's last thousand saves, in order: sizes in bytes, times in seconds."""
        return self._engine.stats

    def wait(self) -> None:
        """Wait until all saves so far are durable.

        Raises:
            SaveError: An OSError: a save could not be written.
        """
        self._engine.wait()
        self._saves.report(on_error="raise")
        self._engine.keeper.settle()

    def get_state(self) -> dict[str, Any]:
        """Return this callback's state: ``best``, its schedule's counts since the last save, and the run's name."""
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
        elif schedule is None and isinstance(self._schedule, Batches):  # the format of version 0.1.0
            self._schedule.set_state(state["batches"])
        self._engine.keeper.name = state["run"]
