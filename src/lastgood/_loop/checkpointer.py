"""The engine for training loops of your own: saves, restores and signals."""

import os
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any

from .._engine import Announcer, Background, Engine, OnSave, Settings, newest_first, parts
from .._keras import ModelAdapter, adapt, default_generation
from .._moment import Moment
from .._policies.retention import KeepPolicy
from .._restoring import Progress, find_together, put_in_place
from .._run import Run
from .._saving import SaveStats
from .._state.model import loop_state
from .saves import Saves
from .stopping import Stop


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

    Where several processes train one model together (DDP on PyTorch, ``keras.distribution`` on JAX), each of them
    creates a checkpointer and makes the same calls, ``should_stop`` included: the first process saves for all.

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
        timeout: float = 120.0,
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
            timeout: How many seconds processes that train together wait for one another before all of them fail.

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
            timeout=timeout,
        )
        self.filepath = settings.template.text
        self._engine = Engine(settings)
        self._announcer = Announcer(verbose, generation, unit="Step")
        self._verbose = verbose
        self._saves = Saves(self._engine, self._announcer)
        self._stop = Stop(self._engine.council, settings.signals)
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
            extra: Anything else that the loop needs after a restart: plain values, NumPy arrays and tensors
                of PyTorch, such as the ``state_dict()`` of an optimizer of ``torch.optim``.

        Raises:
            ArgumentError: A ValueError: ``extra`` contains something else, or the format cannot hold this model.
            SaveError: An OSError: this save could not begin, or an earlier one could not be written.
            RunInUseError: An OSError: another process saves to these files, and this one would delete them or
                continue from them.
            PlaceholderError: A KeyError: a placeholder of the template is not in ``metrics``.
            GroupError: A RuntimeError: another process has failed, or has not called this in time.
        """
        adapter = self._adapter(model)
        self._begin(adapter)
        self._note_begin(adapter, None)
        adapter.build_optimizer()  # a restore expects its state, so the file must hold it
        logs = adapter.plain_logs(metrics or {})
        moment = Moment(epoch, None, "loop", time.monotonic(), False, lambda: logs, lambda: step)
        return self._saves.save(moment, adapter, extra)

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
            GroupError: A RuntimeError: another process has failed, or has not called this in time.
        """
        adapter = self._adapter(model)
        self._engine.continue_run()
        self._begin(adapter)
        with self._engine.council.beginning() as meeting:
            found = find_together(lambda: newest_first([self._engine]), meeting)
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
        if self._begun:
            return
        council = self._engine.council
        council.join_loop(adapter, self.filepath)
        self._stop.follow()
        self._announcer.verbose = self._verbose if council.group.is_chief else 0
        with council.beginning() as meeting:
            council.prepare(adapter, self._engine.settings.format)
            self._engine.begin(adapter, partial(loop_state, adapter, extra=None))
            parts.check_ways(council, self._engine.series.directory, self._engine.settings.format, meeting)
        self._begun = True

    def _note_begin(self, adapter: ModelAdapter, resumed: str | None) -> None:
        if not self._noted:
            self._noted = True
            self._engine.note_begin(adapter, resumed)

    @property
    def should_stop(self) -> bool:
        """Whether one of ``signals`` has come since the ``with`` block began, to this process or one of its group."""
        return self._stop.is_asked()

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
            GroupError: A RuntimeError: another process has failed, or has not called this in time.
        """
        self._saves.wait("raise")

    def __enter__(self) -> "Checkpointer":
        """Hold back signals."""
        self._stop.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all saves are durable, then let a signal that has come take effect."""
        try:
            if error is None:
                self._saves.wait(copies=True)
            else:  # the block's own error takes precedence, and the other processes are elsewhere
                self._engine.council.fail(error)
                self._saves.complete("warn", copies=True)
        finally:
            name = self._stop.taken()
            if name is not None:
                self._engine.keeper.note("signal", name=name)
            ended = self._noted and error is None  # if an exception ended it, nothing is noted
            self._engine.end(stopped=False if ended else None)
            self._begun = self._noted = False
            self._stop.deliver()
