"""The saves of one callback: which of them a metric allows, their messages and their outcomes."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._bytes.training_block import Training
from .._engine import Announcer, Engine
from .._errors import PlaceholderError
from .._keras import ModelAdapter
from .._moment import Moment
from .._policies.monitor import Verdict
from .best import Best
from .tensorboard import TensorBoardMarks


class Saves:
    """The saves that the hooks ask an engine for.

    Attributes:
        best: The best monitored value.
        best_only: Whether to save only if the monitored metric is better than ever before.
        last_place: The epoch and batch of the last save; None before the first of a ``fit``.
    """

    def __init__(
        self,
        engine: Engine,
        best: Best,
        announcer: Announcer,
        *,
        best_only: bool,
        adapter: Callable[[], ModelAdapter],
        training: Callable[[ModelAdapter, Moment, Sequence[bytes]], Training],
    ) -> None:
        """Set up without saving anything yet.

        Args:
            engine: The engine that saves.
            best: The best monitored value.
            announcer: Prints the messages.
            best_only: Whether to save only if the monitored metric is better than ever before.
            adapter: Returns the model.
            training: Returns a function that creates the training state of a save.
        """
        self.best = best
        self.last_place: tuple[int, int | None] | None = None
        self._engine = engine
        self._announcer = announcer
        self.best_only = best_only
        self._adapter = adapter
        self._training = training
        self._marks = TensorBoardMarks(())
        self._improvement: float | None = None

    def mark_in(self, members: Iterable[Any]) -> None:
        """Mark saves from now on in the logs of the ``TensorBoard`` callbacks of a ``fit``."""
        self._marks = TensorBoardMarks(members)

    def allows(self, moment: Moment, path: str) -> bool:
        """Return True if the monitored metric allows a save; print the decision, and keep it for the next save."""
        self._improvement = None
        if not self.best_only:
            self._announcer.say(f"saving model to {path}", moment.epoch)
            return True
        monitor = self._engine.settings.monitor
        mode = "min" if moment.logs.get(monitor) is None else self._engine.direction(self._adapter()).mode
        verdict, current = self.best.judge(moment, monitor, mode)
        if verdict is Verdict.IMPROVED and self._engine.under_way:
            # The save under way may be better still, but counts only if it succeeds.
            self._engine.wait()
            self.report()
            verdict, current = self.best.judge(moment, monitor, mode)
        so_far = self.best.coming if self._engine.under_way else self.best.value
        best = "None" if so_far is None else f"{so_far:.5f}"
        if verdict is Verdict.MISSING:
            available = ", ".join(sorted(moment.logs)) or "nothing"
            text = f"Can save best model only with {monitor} available, skipping. Available: {available}."
            warnings.warn(text, stacklevel=2)
        elif verdict is Verdict.NOT_IMPROVED:
            self._announcer.say(f"{monitor} did not improve from {best}", moment.epoch)
        else:
            improved = f"{monitor} improved from {best} to {current:.5f}"
            self._announcer.say(f"{improved}, saving model to {path}", moment.epoch)
            self._improvement = current
            return True
        return False

    def take_improvement(self) -> float | None:
        """Return, once, what the best value becomes with the save that was allowed last."""
        improvement, self._improvement = self._improvement, None
        return improvement

    def save(self, moment: Moment, path: str, best: float | None = None) -> None:
        """Begin a save.

        Args:
            moment: The moment of the save.
            path: Where to save.
            best: The best value once the save is durable; None if the save does not change it.
        """
        self.best.expect(best, under_way=self._engine.under_way is not None)
        adapter = self._adapter()
        others = self._engine.council.collect()
        try:
            self._engine.save(moment, adapter, path, self._training(adapter, moment, others), best=best)
            self.last_place = moment.place
        except Exception as error:  # noqa: BLE001 - it is raised, or reported as a warning
            self.best.coming = self.best.value
            self._failed(error, None, moment.epoch)
        self.report()

    def save_interrupted(self, moment: Moment) -> None:
        """Save under a separate name, unless this place is saved already, and wait until all saves are durable."""
        if self.last_place != moment.place:
            self.save(moment, str(self._engine.series.beside("interrupted")))
        self._engine.wait(copies=True)
        self.report()
        self._engine.council.raise_deferred()  # there is no later meeting to raise it in

    def save_last(self, moment: Moment, *, restored: bool) -> None:
        """Save the final state, unless it is saved already; never replace the best one, or another of the same step.

        Args:
            moment: The end of training.
            restored: Whether a callback has restored earlier weights.
        """
        last = self._engine.last
        saved = last is not None and last.record.step == moment.step
        if saved and not restored:
            return
        aside = str(self._engine.series.beside("last"))
        try:
            usual = self._engine.series.path(moment)
        except PlaceholderError:  # this epoch lacks a metric of the template
            usual = aside
        path = aside if saved or self.best_only else usual
        self._announcer.say(f"saving the last model to {path}", moment.epoch)
        self.save(moment, path)

    def note_epoch(self, moment: Moment) -> None:
        """Note an epoch's metrics, and attach to the last checkpoint of that epoch those that it lacks."""
        keeper, last = self._engine.keeper, self._engine.last
        if not keeper.is_kept:
            return
        keeper.note("epoch", epoch=moment.epoch, step=moment.step, metrics=dict(moment.metrics))
        if last is not None and last.record.epoch == moment.epoch:
            self._engine.attach_late(moment.metrics, moment.step)

    def report(self, on_error: str | None = None) -> None:
        """Report the outcomes of the saves that have ended since the last call.

        Args:
            on_error: What to do about a failed save; None for what the user chose.
        """
        for save in self._engine.ended():
            self.best.settle(save)
            if save.error is None:
                self._marks.mark(save.path, save.record, int(save.costs["size"]))
                self._announcer.finished(save, save.record.epoch)
            else:
                self._failed(save.error, on_error, save.record.epoch)
        for text in self._engine.copy_failures():
            warnings.warn(text, stacklevel=3)
        for save, error in self._engine.user_errors():
            if not self._defers(error, on_error):
                self._announcer.call_failed(save, error, on_error or self._engine.settings.on_error, save.record.epoch)

    def _failed(self, error: BaseException, on_error: str | None, epoch: int) -> None:
        if not self._defers(error, on_error):
            self._announcer.failed(error, on_error or self._engine.settings.on_error, epoch)

    def _defers(self, error: BaseException, on_error: str | None) -> bool:
        """Defer an error if several processes train, so that all end together; return whether it is deferred."""
        raises = on_error is None and self._engine.settings.on_error == "raise"
        return raises and isinstance(error, Exception) and self._engine.council.defer(error)
