"""The engine for training loops of your own: saves, restores and signals."""

import os
import time
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any

from .._bytes.training_block import UnpackableError
from .._engine import Announcer, Background, Engine, OnSave, Settings, newest_first, show_progress
from .._errors import ArgumentError
from .._keras import ModelAdapter, adapt, default_generation
from .._moment import Moment
from .._policies.retention import KeepPolicy
from .._restoring import Progress, newest_intact, put_in_place
from .._resuming import Interruption
from .._run import Run
from .._saving import SaveStats
from .._state.model import loop_state


class Checkpointer:
    """A checkpointer for a training loop of your own: it saves the model, and restores it after a restart.

    >>> with lastgood.Checkpointer("runs/gan/{step}.weights.h5") as checkpointer:  # doctest: +SKIP
    ...     progress = checkpointer.restore(model)
    ...     for step in range(progress.step + 1 if progress else 0, 10_000):
    ...         loss = train_step(model, step)
    ...         if step % 100 == 0 or checkpointer.should_stop:
    ...             checkpointer.save(model, step=step, metrics={"loss": loss})
    ...         if checkpointer.should_stop:
    ...             break

    As a context manager, it holds back SIGTERM and SIGINT, or the signals that you name, until the block has ended and
    all saves are durable. Then the signal takes effect. The first call that gets the model checks that it can be saved,
    as :class:`ModelCheckpoint` does when training begins.

    Attributes:
        filepath: The template of the paths.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        save_weights_only: bool | None = None,
        options: Any = None,
        verbose: int = 0,
        background: Background = True,
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        keep: KeepPolicy | None = None,
        monitor: str = "loss",
        mode: str = "auto",
        on_error: str = "raise",
        on_save: OnSave | None = None,
        mirror: str | os.PathLike[str] | None = None,
        signals: Iterable[str | int] | None = None,
    ) -> None:
        """Create the checkpointer.

        Args:
            filepath: Where to save. Can contain ``{step}``, ``{epoch}`` and the name of any metric. The ending
                determines the format, as for :class:`ModelCheckpoint`; ``.weights.h5`` holds weights and optimizer
                state.
            save_weights_only: Save weights and optimizer state rather than the whole model; None if the ending decides.
            options: As for :class:`ModelCheckpoint`.
            verbose: 0 is silent, 1 prints a line for each save, 2 adds what the save cost.
            background: Whether training continues while a save is written; :meth:`wait` waits for it. With False and
                ``"auto"``, the checkpoint is durable when :meth:`save` returns.
            keep_last: How many of the newest checkpoints to keep. With this or one of the next three, checkpoints that
                none of them keeps are deleted after each save; the best, the latest and pinned ones always stay.
            keep_best: How many of the best checkpoints by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of this many steps, or, with a
                ``timedelta``, the first in each such span of time.
            keep: A policy of your own: an object with a method ``should_keep(records, context)``.
            monitor: The metric that determines which checkpoint is best.
            mode: ``"min"``, ``"max"``, or ``"auto"``, which decides by the metric's name, then by the metric itself.
            on_error: ``"raise"`` raises the error of a failed save from the next call; ``"warn"`` warns about it.
            on_save: As for :class:`ModelCheckpoint`.
            mirror: As for :class:`ModelCheckpoint`.
            signals: Names of the signals to hold back, such as ``["SIGUSR1"]``; None stands for SIGTERM and SIGINT.

        Raises:
            ArgumentError: A ValueError: an argument has an invalid value.
            ArgumentTypeError: A TypeError: an argument has the wrong type.
        """
        generation = default_generation()
        settings = Settings.parse(
            filepath,
            owner=type(self).__name__,
            generation=generation,
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
        )
        self.filepath = settings.template.text
        self._engine = Engine(settings)
        self._announcer = Announcer(verbose, generation, unit="Step")
        self._interruption = Interruption(lambda: None, lambda _: True, settings.signals)
        self._begun = self._noted = False
        self._adapted: ModelAdapter | None = None

    def save(
        self,
        model: Any,
        *,
        step: int,
        epoch: int = 0,
        metrics: Mapping[str, Any] | None = None,
        extra: Any = None,
    ) -> str:
        """Save ``model`` as it is now, and return the path; the checkpoint is durable once :meth:`wait` returns.

        Args:
            model: The built model.
            step: The number of steps done; it orders the checkpoints.
            epoch: The epoch, if the loop has epochs.
            metrics: Scalars by name.
            extra: Anything else that the loop needs after a restart: plain values and NumPy arrays.

        Raises:
            ArgumentError: A ValueError: ``extra`` contains something else, or the format cannot hold this model.
            SaveError: An OSError: this save could not begin, or an earlier one could not be written.
            RunInUseError: An OSError: another process saves to these files, and this one would delete them or
                continue from them.
            PlaceholderError: A KeyError: a placeholder of the template is not in ``metrics``.
        """
        self._report()
        adapter = self._adapter(model)
        self._begin(adapter)
        self._note_begin(adapter, None)
        adapter.build_optimizer()  # a restore expects its state, so the file must hold it
        logs = adapter.plain_logs(metrics or {})
        moment = Moment(epoch, None, "loop", time.monotonic(), False, lambda: logs, lambda: step)
        named = {"step": step, **logs}
        path = self._engine.settings.template.path(epoch=epoch, batch=None, logs=named)
        self._announcer.say(f"saving model to {path}", step)
        try:
            self._engine.save(moment, adapter, path, partial(loop_state, adapter, extra=extra))
        except UnpackableError as error:
            raise ArgumentError(f"extra cannot be saved: {error}. Pass plain values and NumPy arrays.") from error
        except Exception as error:  # noqa: BLE001 - it is raised, or reported as a warning
            self._announcer.failed(error, self._engine.settings.on_error, step)
        if self._engine.settings.background == "auto":  # the loop runs next, and may look at the file
            self._engine.wait_until_durable()
            self._report()
        return path

    def restore(self, model: Any) -> Progress | None:
        """Restore ``model`` from the newest intact checkpoint: weights, optimizer, seeds, metrics, global random state.

        A damaged checkpoint is renamed, with a warning, and the one before it is used.

        Args:
            model: The built model; compiled as before, if it was compiled.

        Returns:
            Where the loop was; None if there is no checkpoint yet.

        Raises:
            RestoreError: A ValueError: there are checkpoints, and none can be used.
            SaveError: An OSError: the directory cannot be created or written.
            RunInUseError: An OSError: another process saves to these files.
        """
        adapter = self._adapter(model)
        self._engine.continue_run()
        self._begin(adapter)
        found = newest_intact(newest_first([self._engine]))
        if found is None:
            return None
        self._engine.keeper.name = found.record.run or self._engine.keeper.name
        self._note_begin(adapter, str(found.at))
        return put_in_place(found, adapter)

    def _adapter(self, model: Any) -> ModelAdapter:
        if self._adapted is None or self._adapted.model is not model:
            self._adapted = adapt(model)
        return self._adapted

    def _begin(self, adapter: ModelAdapter) -> None:
        """Check what would fail at the first save, once the model is known."""
        if not self._begun:
            self._engine.begin(adapter, partial(loop_state, adapter, extra=None))
            self._begun = True

    def _note_begin(self, adapter: ModelAdapter, resumed: str | None) -> None:
        if not self._noted:
            self._noted = True
            self._engine.note_begin(adapter, resumed)

    @property
    def should_stop(self) -> bool:
        """Whether one of ``signals`` has come since the ``with`` block began."""
        return self._interruption.received is not None

    @property
    def run(self) -> Run:
        """The run that this saves into, for access to its checkpoints."""
        return self._engine.keeper.run

    @property
    def stats(self) -> list[SaveStats]:
        """The costs of the last thousand saves, in order: sizes in bytes, times in seconds."""
        return self._engine.stats

    def wait(self) -> None:
        """Wait until all saves so far are durable.

        Raises:
            SaveError: An OSError: a save could not be written.
        """
        self._engine.wait()
        self._report(on_error="raise")
        self._engine.keeper.settle()

    def _report(self, on_error: str | None = None) -> None:
        """Report the outcomes of the saves that have ended since the last call."""
        for save in self._engine.ended():
            if save.error is None:
                self._announcer.finished(save, save.record.step)
            else:
                self._announcer.failed(save.error, on_error or self._engine.settings.on_error, save.record.step)
        for text in self._engine.copy_failures():
            warnings.warn(text, stacklevel=3)
        for save, error in self._engine.user_errors():
            self._announcer.call_failed(save, error, on_error or self._engine.settings.on_error, save.record.step)

    def __enter__(self) -> "Checkpointer":
        """Hold back signals."""
        self._interruption.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all saves are durable, then let a signal that has come take effect."""
        try:
            show_progress(self._engine.under_way, enabled=self._announcer.verbose >= 1)
            self._engine.wait(copies=True)
            self._report(on_error="warn" if error is not None else None)  # the block's own error takes precedence
            self._engine.keeper.settle()
        finally:
            if self.should_stop:
                self._engine.keeper.note("signal", name=self._interruption.name)
            ended = self._noted and error is None  # if an exception ended it, nothing is noted
            self._engine.end(stopped=False if ended else None)
            self._begun = self._noted = False
            self._interruption.deliver(hold=False)
