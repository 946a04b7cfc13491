"""The same engine for training loops of the user's own: saves, restores, and word of signals."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from . import _frameworks
from ._checkpointer import Save, Saver, SaveStats, describe
from ._errors import ArgumentError
from ._formats import choose_format
from ._layout.training_block import UnpackableError
from ._policies.monitor import resolve_direction
from ._policies.naming import Template
from ._policies.retention import Retention
from ._restore import Progress, put_in_place
from ._run import Run, by_age, matching_directories
from ._run.keeper import Keeper
from ._storage import choose_storage
from ._training.resume import newest_intact
from ._training.session import loop_state
from ._training.signals import Interruption


class Checkpointer:
    """Saves a model while a loop of the user's own trains it, and restores it when the script is started again.

    >>> with lastgood.Checkpointer("runs/gan/{step}.weights.h5") as checkpointer:  # doctest: +SKIP
    ...     progress = checkpointer.restore(model)
    ...     for step in range(progress.step + 1 if progress else 0, 10_000):
    ...         loss = train_step(model, step)
    ...         if step % 100 == 0 or checkpointer.should_stop:
    ...             checkpointer.save(model, step=step, metrics={"loss": loss})
    ...         if checkpointer.should_stop:
    ...             break

    As a context it holds SIGTERM and SIGINT back until the block has ended and all saves are durable. Then the signal
    does what it would have done.

    Attributes:
        filepath: The template of the paths.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        *,
        background: bool = True,
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        monitor: str = "loss",
        mode: str = "auto",
    ) -> None:
        """Make it.

        Args:
            filepath: Where to save. May hold ``{step}``, ``{epoch}`` and the name of any metric. The ending chooses
                the format, as for :class:`ModelCheckpoint`; ``.weights.h5`` holds weights and optimizer state.
            background: Let training go on while a save is being written.
            keep_last: How many of the newest checkpoints to keep. With this or one of the next two, those that none of
                them keeps are deleted behind each save; the best, the latest and the pinned ones always stay.
            keep_best: How many of the best by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of so many steps, or the first of each such
                span of time.
            monitor: The metric that says which is best.
            mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name.

        Raises:
            ArgumentError: A ValueError: ``filepath``, or a number of checkpoints to keep, cannot work.
        """
        self.filepath = os.fspath(filepath)
        self._template = Template(self.filepath)
        weights_only = self.filepath.endswith(".weights.h5")
        self._format = choose_format(self.filepath, self._template.suffix, weights_only=weights_only)
        self._storage = choose_storage(self.filepath)
        self._saver = Saver(self._format, self._storage, background=background)
        self._keeper = Keeper(self._template, Retention.parse(keep_last, keep_best, keep_every), self._storage)
        self._monitor = monitor
        self._mode = resolve_direction(monitor, mode, {}).mode
        self._interruption = Interruption(lambda: None, lambda _: True)

    def save(
        self,
        model: Any,
        *,
        step: int,
        epoch: int = 0,
        metrics: Mapping[str, Any] | None = None,
        extra: Any = None,
    ) -> str:
        """Save ``model`` as it is now; return the path, where it is when :meth:`wait` returns.

        Args:
            model: The model; built.
            step: Steps done; orders the checkpoints.
            epoch: The epoch, where the loop has any.
            metrics: Scalars by name.
            extra: Whatever else the loop has to know: plain values and NumPy arrays.

        Raises:
            ArgumentError: A ValueError: ``extra`` holds something that is neither.
            SaveError: An OSError: this save could not be begun, or an earlier one could not be written.
            PlaceholderError: A KeyError: the template has a placeholder that is in ``metrics`` nowhere.
        """
        self._tell()
        _frameworks.of(model).build_optimizer(model)  # a restore has a place for its state, so the file has to hold it
        logs = {"step": step, **(metrics or {})}
        path = self._template.path(epoch=epoch, batch=None, logs=logs)
        owner = {"run": self._keeper.name, "template": self._keeper.template}
        record = describe(
            model, self._format, epoch=epoch, batch=None, steps=None, logs=metrics or {}, step=step, **owner
        )

        def on_commit(save: Save) -> None:
            self._keeper.committed(Path(path), record, save.costs, self._monitor, self._mode)

        try:
            self._saver.save(model, path, record, lambda unsaved: loop_state(model, unsaved, extra), on_commit)
        except UnpackableError as error:
            raise ArgumentError(f"extra cannot be saved: {error}. Pass plain values and NumPy arrays.") from error
        return path

    def restore(self, model: Any) -> Progress | None:
        """Put the newest intact checkpoint into ``model``: weights, optimizer, seeds, metrics, global randomness.

        One that is damaged is renamed aside, with a warning, and the one before it is used.

        Args:
            model: The model; built, and compiled as it was if it was compiled.

        Returns:
            Where the loop was; None if there is no checkpoint yet.

        Raises:
            RestoreError: A ValueError: there are checkpoints, and none can be used.
        """
        for directory in matching_directories(self._template):
            self._storage.reclaim(directory)
        found = newest_intact(by_age([(self._template, self._format)]))
        if found is None:
            return None
        self._keeper.name = found.record.run or self._keeper.name
        return put_in_place(found, model)

    @property
    def should_stop(self) -> bool:
        """Whether SIGTERM or SIGINT has come since the ``with`` block began."""
        return self._interruption.received is not None

    @property
    def run(self) -> Run:
        """The directory that is saved into, to look at its checkpoints."""
        return self._keeper.run

    @property
    def stats(self) -> list[SaveStats]:
        """What each of the last thousand saves cost, in order: sizes in bytes, times in seconds."""
        return list(self._saver.stats)

    def wait(self) -> None:
        """Return when all saves so far are durable.

        Raises:
            SaveError: An OSError: one of them could not be written.
        """
        self._saver.wait()
        self._tell()
        self._keeper.settle()

    def _tell(self) -> None:
        for save in self._saver.told():
            if save.error is not None:
                raise save.error

    def __enter__(self) -> "Checkpointer":
        """Hold signals back."""
        self._interruption.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all saves are durable, and let a signal through that has come."""
        try:
            self.wait()
        finally:
            self._interruption.deliver(hold=False)
