"""One running ``fit``, shared by all lastgood callbacks in it.

                 no checkpoint
    new --------------------------------------------------> training <-----> validating
     |  resume()                                               ^                 |
     +----------> restoring --begin_epoch()--> drawing --------+                 |
                                  |      batches before the restart              |
                                  +--none to draw--> training                    |
                                                                                 |
    any of them --a signal--> stopping: saves at the next batch, then delivers the signal
    any of them --end() of the last callback--> ended: signals are no longer held back
    any of them --an exception leaves fit--> each callback leaves once its saves are durable

A callback whose hooks you call by hand has a session, too: one of a ``fit`` about which nothing is known.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from .._bytes.training_block import TrainingBlock, UnpackableError
from .._errors import ArgumentError
from .._formats import Format
from .._group import Meeting
from .._keras import FitAdapter, ModelAdapter, as_callback
from .._keras.fit_adapter import is_inside_fit
from .._moment import Moment
from .._record import Record
from .._restoring import find_together
from .._state import callbacks, randomness
from .._state.model import metrics_now, state_of, states_now
from .._storage import Location
from .epoch_data import EpochData
from .exactness import obstacles
from .preemption import Preemption
from .replay import Replay
from .signals import Interruption


@dataclass(frozen=True)
class _BeforeValidation:
    """A copy of the state that a validation overwrites."""

    randomness: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    states: list[dict[str, Any]]


class Participant(Protocol):
    """A lastgood callback in a ``fit``."""

    def finish(self, onlooker: str) -> None:
        """Make the saves durable that other code may look at now.

        Args:
            onlooker: The code that may look, in words.
        """

    def leave(self) -> None:
        """Make the announced saves durable: an exception is ending training, and Keras calls no more hooks."""


class FitSession:
    """One ``fit``, from its first hook to its end; the lastgood callbacks in it share it.

    Attributes:
        fit: The ``fit``.
        data: Where its batches come from.
        record: The record of the checkpoint from which it resumes; None if it starts fresh.
        resumed: Where that checkpoint is; None if it starts fresh.
    """

    def __init__(self, fit: FitAdapter) -> None:
        """Follow a ``fit`` that starts fresh, and hold back no signals."""
        self.fit = fit
        self.data = EpochData(fit)
        self.record: Record | None = None
        self.resumed: str | None = None
        self._participants: list[Participant] = []
        self._saver: Any = None
        self._replay: Replay | None = None
        self._interruption: Interruption | Preemption | None = None
        self._before_validation: _BeforeValidation | None = None

    @classmethod
    def joined(cls, fit: FitAdapter, participant: Participant, model: Any) -> "FitSession":
        """Add a callback to the session of a ``fit``, and return the session.

        Args:
            fit: The ``fit``.
            participant: The callback.
            model: The model.
        """
        if fit.session is None:
            fit.session = cls(fit)
        session: FitSession = fit.session
        session._participants.append(participant)
        fit.watch(model, session._finish_all, session._leave_all)
        return session

    def _finish_all(self, onlooker: str) -> None:
        for each in self._participants:
            each.finish(onlooker)

    def _leave_all(self) -> None:
        """Call ``leave`` of all callbacks, even if one of them raises."""
        with ExitStack() as stack:
            for each in reversed(self._participants):
                stack.callback(each.leave)

    def resume(
        self,
        adapter: ModelAdapter,
        candidates: Callable[[], Sequence[tuple[Location, Format]]],
        saver: Any,
        signals: Iterable[int],
        meeting: Meeting,
    ) -> None:
        """Resume the run that the candidates belong to, and hold back signals from now on.

        Args:
            adapter: The model.
            candidates: Returns locations and formats, newest first; none if the run is new.
            saver: The callback that saves when a signal arrives.
            signals: The numbers of the signals to hold back.
            meeting: The meeting of the processes that train together.

        Raises:
            RestoreError: There are candidates, but none can be used.
            ArgumentError: There are candidates, but the hooks are not called by ``fit``.
        """
        for text in obstacles(self.fit, adapter):
            warnings.warn(f"A restart of this training will not be exact: {text}", stacklevel=4)
        found = find_together(candidates, meeting)
        if found is not None and self.fit.callbacks is None:
            raise ArgumentError("resume=True works inside model.fit(). In a loop of your own, use a Checkpointer.")
        if found is not None:
            self.fit.build(adapter.model)
            self._replay = as_callback(Replay, adapter.generation)(self.fit, self.data, found, adapter)
            self._replay.speaks = meeting.is_chief
            self.record, self.resumed = found.record, str(found.at)
        if adapter.workers() > 1:
            return  # a worker that stops alone would leave the others waiting for it
        self._saver = saver
        if meeting.size > 1:
            self._follow_preemption(adapter.model, meeting)
            return
        self._interruption = Interruption(
            self.fit.dispatch_in_turn, lambda frame: is_inside_fit(adapter.model, frame), signals
        )
        self._interruption.hold()

    def _follow_preemption(self, model: Any, meeting: Meeting) -> None:
        """Make all processes save at the same step when one of them is to end; lastgood itself holds back no signal."""
        if meeting.preempted is not None:
            leaves_last = meeting.is_chief  # the messages of the processes go through it
            self._interruption = Preemption(meeting.preempted, self.fit.dispatch_in_turn, leaves_last=leaves_last)
            self.fit.before_steps(model, self._interruption.before_step)

    def begin_epoch(self, epoch: int) -> None:
        """Note where the batches of an epoch, counted from 0, begin; after a restart, restore where the first began."""
        if self._replay is not None:
            self._replay.begin_epoch(epoch)
        if self.data.begin_epoch(epoch):
            self._before_validation = None

    def begin_validation(self, adapter: ModelAdapter) -> None:
        """Copy the state that a validation overwrites, in case a signal arrives during it."""
        self.fit.watch_validation(adapter.model)
        if self._replay is not None:
            self._replay.begin_validation()
        if self._interruption is not None:
            self._before_validation = _BeforeValidation(randomness.capture(), metrics_now(adapter), states_now(adapter))

    def end_epoch(self) -> None:
        """Check that the data had all batches that were computed before a restart.

        Raises:
            RestoreError: The data ended earlier.
        """
        if self._replay is not None:
            self._replay.check_drawn()

    def block(
        self, adapter: ModelAdapter, unsaved: Sequence[Any], moment: Moment, saver: Any, others: Sequence[bytes] = ()
    ) -> TrainingBlock:
        """Return the training state for a save.

        Args:
            adapter: The model.
            unsaved: The variables that are not saved as weights or optimizer state.
            moment: The moment of the save. During a validation, the state that it overwrites is taken from before it.
            saver: The callback that saves.
            others: What the other processes packed with :meth:`own_block`, in order of rank.
        """
        before = self._before_validation if moment.hook == "validation" else None
        tree = {**state_of(adapter, unsaved), **self._own(adapter.model, moment, saver, before)}
        if before:
            earlier = {entry["path"]: entry for entry in before.states}
            tree["unlisted"] = [earlier.get(entry["path"], entry) for entry in tree["unlisted"]]
            tree["metrics"] = before.metrics
        if others:
            tree["processes"] = list(others)
        return _packed(tree)

    def own_block(self, adapter: ModelAdapter, moment: Moment, saver: Any) -> TrainingBlock:
        """Return the part of the training state that each process has of its own. See :meth:`block`."""
        before = self._before_validation if moment.hook == "validation" else None
        return _packed(self._own(adapter.model, moment, saver, before))

    def _own(self, model: Any, moment: Moment, saver: Any, before: _BeforeValidation | None) -> dict[str, Any]:
        members = self.fit.members
        seen_by = next((i for i, member in enumerate(members) if member is saver), -1)
        if moment.hook == "end":  # all have seen the last epoch's end; a restart must not repeat it
            seen_by = len(members) - 1
        return {
            "position": self.data.position(moment.epoch - 1, moment.batch),
            "randomness": before.randomness if before else randomness.capture(),
            "callbacks": callbacks.take(members),
            "saver": seen_by,
            "logs": dict(moment.metrics),
            "hook": moment.hook if moment.hook in ("batch", "validation") else "epoch",
            "stopped": bool(getattr(model, "stop_training", False)),
            "data": self.fit.kind,
        }

    @property
    def signal(self) -> str | None:
        """The name of the signal that is being held back; None if there is none."""
        return None if self._interruption is None else self._interruption.name

    def may_stop(self, saver: Any) -> bool:
        """Return True if a signal that is held back can be delivered now, and ``saver`` has to save first."""
        return saver is self._saver and self._interruption is not None and self._interruption.may_be_delivered

    def let_through(self) -> None:
        """Deliver the signal that is held back; hold back the next one, if the program survives."""
        if self._interruption is not None:
            self._interruption.deliver()

    def end(self, participant: Participant) -> None:
        """Remove a callback; after the last one, release the data, and deliver a signal that arrived late."""
        self._participants = [each for each in self._participants if each is not participant]
        if self._participants:
            return
        self.fit.unwatch()
        self.fit.let_go()  # the next fit may use the same list of callbacks
        interruption, self._interruption = self._interruption, None
        if interruption is not None:
            interruption.deliver(hold=False)


def _packed(tree: dict[str, Any]) -> TrainingBlock:
    """Return a tree as a block, without those states of callbacks that a block cannot hold."""
    try:
        return TrainingBlock(tree)
    except UnpackableError:
        packable = [
            entry | {"state": callbacks.packable(entry["class"], entry["state"])} for entry in tree["callbacks"]
        ]
        return TrainingBlock(tree | {"callbacks": packable})
