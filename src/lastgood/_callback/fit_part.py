"""A callback's part in a running ``fit``: where training is, who may look at its files, and how the callback leaves."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from .._bytes.training_block import Training
from .._engine import Announcer, Engine, parts
from .._formats import to_bytes
from .._group import Invitation
from .._keras import FitAdapter, Generation, Hooks, ModelAdapter, adapt, adapter_class
from .._moment import Hook, Moment
from .._policies.schedule import Schedule
from .._resuming import FitSession
from .best import Best
from .names import MissingNames
from .saves import Saves
from .step_counter import StepCounter

_PATIENCE_SECONDS = 1.0


class FitPart(Hooks):
    """The common base of the callback's hooks.

    Attributes:
        generation: The generation of Keras whose ``fit`` calls the hooks.
    """

    generation: ClassVar[Generation]
    save_best_only: bool
    verbose: int

    def _assemble(self, engine: Engine, schedule: Schedule, best: Best) -> None:
        """Set what the hooks use; the constructor calls this."""
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

    # Called by the session

    def finish(self, onlooker: str) -> None:
        """Make saves that somebody may look at durable; if that is slow, say why, once. Outcomes are reported later.

        Args:
            onlooker: Who may look, in words.
        """
        self._finish(onlooker, told_after=_PATIENCE_SECONDS)

    def _finish(self, onlooker: str, *, told_after: float) -> None:
        if self._engine.settings.background != "auto" or not self._engine.under_way:
            return
        began = time.monotonic()
        self._engine.wait_until_durable()
        if time.monotonic() - began >= told_after:
            self._announcer.say_once(
                f"training waits for saves, since {onlooker} may look at the file. Pass background=True if it does not",
                self._epoch + 1,
            )

    def leave(self) -> None:
        """Make announced saves durable when an exception ends training, after which no hook is called."""
        with self._ending(stopped=None):
            self._engine.wait()
            self._saves.report(on_error="tell")  # the exception that ends training takes precedence
            deferred = self._engine.council.take_deferred()
            if deferred is not None:
                self._announcer.failed(deferred, "tell", self._epoch + 1)

    @contextmanager
    def _ending(self, *, stopped: bool | None) -> Iterator[None]:
        """Release the run after the block has ended training.

        Args:
            stopped: Whether a callback stopped training; None if it never began, or an exception ended it.
        """
        try:
            yield
            self._engine.keeper.settle()
        finally:
            self._engine.end(stopped=stopped)
            session, self._session = self._session, FitSession(FitAdapter())  # releases the data
            session.end(self)

    def _finish_if_seen(self, hook: str) -> None:
        """Wait for a save if somebody may look at the file once a hook returns; all such saves wait, so say so once."""
        if self._engine.under_way:
            onlooker = self._session.fit.who_looks_after(self, hook)
            if onlooker is not None:
                self._finish(onlooker, told_after=0.0)
                self._saves.report()

    def _adapter(self) -> ModelAdapter:
        """Return the model's adapter. On JAX, ``self.model`` syncs the state, which is slow: only for a due save."""
        model = self.model
        if self._adapted is None or self._adapted.model is not model:
            self._adapted = adapt(model)
        return self._adapted

    def _moment(self, hook: Hook, batch: int | None, logs: Mapping[str, Any] | None) -> Moment:
        """Return the moment of a hook that was called with ``logs`` after ``batch`` batches of the epoch."""
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
        """Return the step after ``batch`` batches of an epoch, which is counted from 1."""
        return self._steps_done.step(self._count(epoch, batch))

    def _count(self, epoch: int, batch: int | None) -> int:
        """Return the number of optimizer updates, or of batches if the model trains without an optimizer."""
        iterations = self._adapter().iterations()
        if iterations is not None:
            return iterations
        steps = self._steps() or 1
        return epoch * steps if batch is None else (epoch - 1) * steps + batch

    def _continue_steps(self) -> None:
        """Continue counting from the step of the checkpoint after a restart."""
        record = self._session.record
        if record is not None:
            self._steps_done.continue_from(record.step, self._count(record.epoch, record.batch))

    def _steps(self) -> int | None:
        """Return the number of batches in an epoch; None if Keras does not know it yet."""
        return (getattr(self, "params", None) or {}).get("steps")

    def _training(self, adapter: ModelAdapter, moment: Moment, others: Sequence[bytes] = ()) -> Training:
        """Return a function that creates the training state for a save at a moment.

        Args:
            adapter: The model.
            moment: The moment.
            others: The other processes' own training state, packed.
        """
        session = self._session
        return lambda unsaved: session.block(adapter, unsaved, moment, self, others)

    def _hand_in(self, moment: Moment, invitation: Invitation | None) -> bytes:
        """Return this process's own training state for the chief's save; if invited, send its parts of the model."""
        adapter = self._adapter()
        parts.give_parts(self._engine.council, adapter, self._engine.settings, invitation)
        return to_bytes(adapter, self._session.own_block(adapter, moment, self))

    def _act(self, action: Callable[[], object], moment: Moment, *, verdict: bool = False) -> None:
        """Run an action that may save at a moment, in the process that saves. See :meth:`Council.act`."""
        self._engine.council.act(action, partial(self._hand_in, moment), verdict=verdict)
