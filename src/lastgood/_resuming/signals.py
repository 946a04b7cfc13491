"""Signals during training: held back, handled at the next batch boundary, then delivered."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from .._errors import ArgumentError, ArgumentTypeError

_COMMON = (signal.SIGTERM, signal.SIGINT)
_DEAF = {"SIGKILL", "SIGSTOP"}


def parse_signals(values: Any) -> tuple[int, ...]:
    """Return the numbers of signals; for None, those of preemption and Ctrl-C.

    Args:
        values: Names such as ``"SIGUSR1"``, or numbers; or None.

    Raises:
        ArgumentError: This system has no such signal, or no program can handle it.
        ArgumentTypeError: They are neither names nor numbers.
    """
    if values is None:
        return _COMMON
    if isinstance(values, str | int) or not isinstance(values, Iterable):
        raise ArgumentTypeError(f"signals must be a list of names such as 'SIGUSR1', got {values!r}.")
    return tuple(dict.fromkeys(map(_number, values)))


def _number(value: Any) -> int:
    known = signal.Signals.__members__
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ArgumentTypeError(f"signals must be a list of names such as 'SIGUSR1', got {value!r} in it.")
    try:
        found = known[value] if isinstance(value, str) else signal.Signals(value)
    except (KeyError, ValueError):
        names = ", ".join(name for name in known if name not in _DEAF)
        raise ArgumentError(f"signals has {value!r}, which is not a signal here. Expected some of: {names}.") from None
    if found.name in _DEAF:
        raise ArgumentError(f"signals has {found.name!r}, which no program can handle. Remove it.")
    return int(found)


class Interruption:
    """Handlers that hold back signals until the training that they would interrupt has been saved.

    Attributes:
        received: The signal that arrived; None if none has. A second one is not held back.
    """

    def __init__(
        self,
        notify: Callable[[], object],
        is_training: Callable[[FrameType | None], bool],
        signals: Iterable[int] = _COMMON,
    ) -> None:
        """Hold back nothing yet.

        Args:
            notify: Called, in the main thread, when a signal has arrived.
            is_training: Returns True if training is still running, given the frame that a signal interrupted: when an
                exception ends training, Keras calls no hook.
            signals: The numbers of the signals to hold back.
        """
        self._signals = tuple(signals)
        self.received: int | None = None
        self._notify = notify
        self._is_training = is_training
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    @property
    def name(self) -> str | None:
        """The name of the signal that arrived, such as ``"SIGTERM"``; None if none has."""
        return None if self.received is None else signal.Signals(self.received).name

    @property
    def may_be_delivered(self) -> bool:
        """Whether a signal has arrived, and this is the main thread.

        Batch hooks that Keras had handed to its own threads before the signal may still run there during training.
        """
        return self.received is not None and threading.current_thread() is threading.main_thread()

    def hold(self) -> None:
        """Hold back signals from now on; do nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.received = None
        for number in self._signals:
            before = signal.getsignal(number)
            left = getattr(before, "__self__", None)
            if isinstance(left, Interruption):  # left by a training that an exception ended
                before = left._before.get(number, signal.SIG_DFL)
            if before not in (None, signal.SIG_IGN) and number not in self._before:
                self._before[number] = before
                signal.signal(number, self._handle)

    def release(self) -> None:
        """Restore the handlers that signals had before."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        self._before = {}

    def deliver(self, *, hold: bool = True) -> None:
        """Deliver the signal that arrived to the handler that it had before.

        Args:
            hold: Whether to hold back the next one, if the program survives.
        """
        number, self.received = self.received, None
        self.release()
        if number is not None:
            signal.raise_signal(number)
            if hold:
                self.hold()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A forked child, such as a data loader's worker, inherits this handler but has nothing to save.
        if os.getpid() != self._process or not self._is_training(frame):
            self.release()
            signal.raise_signal(number)
            return
        self.received = number
        self.release()
        self._notify()
