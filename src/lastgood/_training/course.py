"""The course of one ``fit``, for the callback that saves in it: how it goes on with a run, and how a signal ends it."""

import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import _frameworks
from .._errors import ArgumentError
from .._fit import Fit, is_inside_fit
from .._formats import Format
from .exactness import obstacles
from .resume import Resumption, newest_intact
from .session import Session
from .signals import Interruption


class Course:
    """One ``fit``, from its beginning to its end.

    Attributes:
        fit: The ``fit``.
        session: What saves have to hold of it; our callbacks in it share it.
        resumed: The checkpoint that it goes on from; None if it starts anew.
    """

    def __init__(self, fit: Fit) -> None:
        """Follow a ``fit`` that starts anew, and hold no signals back."""
        self.fit = fit
        self.session = Session.of(fit)
        self.resumed: str | None = None
        self._resumption: Resumption | None = None
        self._interruption: Interruption | None = None

    def go_on(self, model: Any, candidates: Sequence[tuple[Path, Format]]) -> None:
        """Go on with the run whose checkpoints the candidates are, and hold signals back from now on.

        Args:
            model: The model.
            candidates: Paths and formats, the newest first; none if the run begins.

        Raises:
            RestoreError: There are some, and none can be used.
            ArgumentError: There are some, and this is no ``fit``.
        """
        for text in obstacles(self.fit, model):
            warnings.warn(f"A restart of this training will not be exact: {text}", stacklevel=4)
        found = newest_intact(candidates)
        if found is not None and self.fit.callbacks is None:
            raise ArgumentError("resume=True works inside model.fit(). In a loop of your own, use a Checkpointer.")
        if found is not None:
            self.fit.build(model)
            resumption = _frameworks.as_callback(Resumption, _frameworks.of(model))
            self._resumption = resumption(self.fit, self.session, found, model)
            self.resumed = str(found.path)
        if _frameworks.of(model).workers(model) > 1:
            return  # one worker that stops by itself would leave the others waiting for it
        self._interruption = Interruption(self.fit.dispatch_in_turn, lambda frame: is_inside_fit(model, frame))
        self._interruption.hold()

    def begin_epoch(self, epoch: int) -> None:
        """Note where an epoch's batches begin; the first after a restart begins where it did."""
        if self._resumption is not None:
            self._resumption.begin_epoch(epoch)
        self.session.begin_epoch(epoch)

    def begin_validation(self, model: Any) -> None:
        """Keep what a validation overwrites, in case that a signal comes in the middle of it."""
        if self._resumption is not None:
            self._resumption.begin_validation()
        if self._interruption is not None:
            self.session.begin_validation(model)

    def end_epoch(self) -> None:
        """Check that the data had all batches that were computed before a restart.

        Raises:
            RestoreError: They ended earlier.
        """
        if self._resumption is not None:
            self._resumption.check_drawn()

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal has come that is held back."""
        return self.signal is not None

    @property
    def signal(self) -> str | None:
        """The name of the signal that has come and is held back; None if none has."""
        number = self._interruption.received if self._interruption is not None else None
        return None if number is None else signal.Signals(number).name

    @property
    def may_stop(self) -> bool:
        """Whether one has come, and can be let through here."""
        return self._interruption is not None and self._interruption.may_be_delivered

    def let_through(self) -> None:
        """Let the signal do what it would have done; hold the next one back, if the program lives on."""
        if self._interruption is not None:
            self._interruption.deliver()

    def end(self) -> None:
        """Hold no more signals back; let one through that came late."""
        if self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            interruption.deliver(hold=False)
