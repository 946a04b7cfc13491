"""A callback's part in a running ``fit``: where training is, who may look at its files, and how it leaves."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from .._bytes.training_block import Training
from .._engine import Announcer, Engine
from .._formats import to_bytes
from .._group import Invitation
from .._keras import FitAdapter, Generation, Hooks, ModelAdapter, adapt, adapter_class
from .._moment import Hook, Moment
from .._policies.schedule import Schedule
from .._resuming import FitSession
from .._saving import send_parts
from .best import Best
from .names import MissingNames
from .saves import Saves
from .step_counter import StepCounter

_PATIENCE_SECONDS = 1.0


class FitPart(Hooks):
    """What the hooks of a callback have in common.

    Attributes:
        generation: The Keras whose ``fit`` calls them.
    """

    generation: ClassVar[Generation]
    save_best_only: bool
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
        self._missing = MissingNames((), (), None, may_be_added=True)
        self._begun = False
        self._epoch = 0
        self._steps_done = StepCounter()
        self._adapted: ModelAdapter | None = None

    # What the session calls

    def finish(self, onlooker: str) -> None:
        """Make durable what somebody may look at now; if that takes long, say why, once. Its outcome is told later.

        Args:
            onlooker: Who, in words.
        """
        self._finish(onlooker, told_after=_PATIENCE_SECONDS)

    def _finish(self, onlooker: str, *, told_after: float) -> None:
        if self._engine.settings.background != "auto" or not self._engine.under_way:
            return
        began = time.monotonic()
        self._engine.wait_until_durable()
        if time.monotonic() - began >= told_after:
            self._announcer.say_once(
                f"training waits for saves, since {onlooker} may look at the file. Pass background=True if not",
                self._epoch + 1,
            )

    def leave(self) -> None:
        """Make durable what has been announced: an exception ends training, and no hook comes any more."""
        with self._ending(stopped=None):
            self._engine.wait()
            self._saves.report(on_error="tell")  # the exception that ends training comes first
            deferred = self._engine.council.take_deferred()
            if deferred is not None:
                self._announcer.failed(deferred, "tell", self._epoch + 1)

    @contextmanager
    def _ending(self, *, stopped: bool | None) -> Iterator[None]:
        """Leave the run to others when the block has ended training.

        Args:
            stopped: Whether a callback has stopped it; None if it never began, or an exception has ended it.
        """
        try:
            yield
            self._engine.keeper.settle()
        finally:
            self._engine.end(stopped=stopped)
            session, self._session = self._session, FitSession(FitAdapter())  # lets go of the data
            session.end(self)

    def _finish_if_seen(self, hook: str) -> None:
        """Wait for a save where somebody may look at the file as soon as a hook returns; each waits, so say so once."""
        if self._engine.under_way:
            onlooker = self._session.fit.who_looks_after(self, hook)
            if onlooker is not None:
                self._finish(onlooker, told_after=0.0)
                self._saves.report()

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

    def _training(self, adapter: ModelAdapter, moment: Moment, others: Sequence[bytes] = ()) -> Training:
        """Return what makes the training state of a save at a moment.

        Args:
            adapter: The model.
            moment: The moment.
            others: What the other processes have of their own.
        """
        session = self._session
        return lambda unsaved: session.block(adapter, unsaved, moment, self, others)

    def _hand_in(self, moment: Moment, invitation: Invitation | None) -> bytes:
        """Return what this process has of its own, for a save of the chief's, and send its parts of the model."""
        adapter = self._adapter()
        if invitation is not None:
            council, background = self._engine.council, self._engine.settings.background is not False
            send_parts(adapter, council.group, invitation, council.seconds, background=background)
        return to_bytes(adapter, self._session.own_block(adapter, moment, self))

    def _act(self, action: Callable[[], object], moment: Moment, *, verdict: bool = False) -> None:
        """Have the one process that saves do what may save at a moment. See :meth:`Council.act`."""
        self._engine.council.act(action, partial(self._hand_in, moment), verdict=verdict)
