"""The saves of one callback: which a metric allows, what is said of them, and what becomes of them."""

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
    """Has an engine save what the hooks ask for.

    Attributes:
        best: The best monitored value.
        best_only: Whether to save only what is better than ever before.
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
        """Save nothing yet.

        Args:
            engine: What saves.
            best: The best monitored value.
            announcer: What says so.
            best_only: Whether to save only what is better than ever before.
            adapter: Returns the model.
            training: Returns what makes the training state of a save.
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
        """Take the callbacks of a ``fit``: saves are marked in the logs of TensorBoard's."""
        self._marks = TensorBoardMarks(members)

    def allows(self, moment: Moment, path: str) -> bool:
        """Return True if the monitored metric allows a save, and say what it does; the next save is that one."""
        self._improvement = None
        if not self.best_only:
            self._announcer.say(f"saving model to {path}", moment.epoch)
            return True
        monitor = self._engine.settings.monitor
        mode = "min" if moment.logs.get(monitor) is None else self._engine.direction(self._adapter()).mode
        verdict, current = self.best.judge(moment, monitor, mode)
        if verdict is Verdict.IMPROVED and self._engine.under_way:
            # What is being written may be better still. It is so only if that save succeeds.
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
        """Return what the best value becomes with the save that was allowed last; once."""
        improvement, self._improvement = self._improvement, None
        return improvement

    def save(self, moment: Moment, path: str, best: float | None = None) -> None:
        """Begin a save.

        Args:
            moment: When it is.
            path: Where to.
            best: What the best value becomes when the save is durable; None leaves it.
        """
        self.best.expect(best, under_way=self._engine.under_way is not None)
        adapter = self._adapter()
        others = self._engine.council.collect()
        try:
            self._engine.save(moment, adapter, path, self._training(adapter, moment, others), best=best)
            self.last_place = moment.place
        except Exception as error:  # noqa: BLE001 - it is raised, or warned of
            self.best.coming = self.best.value
            self._failed(error, None, moment.epoch)
        self.report()

    def save_interrupted(self, moment: Moment) -> None:
        """Save beside the saves that are due, unless that has been saved, and wait until all are durable."""
        if self.last_place != moment.place:
            self.save(moment, str(self._engine.series.beside("interrupted")))
        self._engine.wait(copies=True)
        self.report()
        self._engine.council.raise_deferred()  # after this meeting there is none

    def save_last(self, moment: Moment, *, restored: bool) -> None:
        """Save the state that training ends with, unless that has been done; never in another one's place.

        Args:
            moment: The end of training.
            restored: Whether a callback has put earlier weights back.
        """
        last = self._engine.last
        saved = last is not None and last.record.step == moment.step
        if saved and not restored:
            return
        aside = str(self._engine.series.beside("last"))
        try:
            usual = self._engine.series.path(moment)
        except PlaceholderError:  # a metric that this epoch has not
            usual = aside
        path = aside if saved or self.best_only else usual
        self._announcer.say(f"saving the last model to {path}", moment.epoch)
        self.save(moment, path)

    def note_epoch(self, moment: Moment) -> None:
        """Note an epoch's metrics; those that the checkpoint lacks that was saved last in it become its own."""
        keeper, last = self._engine.keeper, self._engine.last
        if not keeper.is_kept:
            return
        keeper.note("epoch", epoch=moment.epoch, step=moment.step, metrics=dict(moment.metrics))
        if last is not None and last.record.epoch == moment.epoch:
            self._engine.attach_late(moment.metrics, moment.step)

    def report(self, on_error: str | None = None) -> None:
        """Say what came of the saves that have ended since the last time.

        Args:
            on_error: What to do about one that failed, where it is not what the user chose.
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
        """Return True if an error is raised later: where several processes train, none leaves the others behind."""
        raises = on_error is None and self._engine.settings.on_error == "raise"
        return raises and isinstance(error, Exception) and self._engine.council.defer(error)
