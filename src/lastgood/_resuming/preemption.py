"""Preemption of a training of several processes: all of them save and stop at the same step.

jax handles SIGTERM itself, so lastgood installs no handler: before a step, jax reports that all processes are to save
after it. Then each process gets the signal that it would have got without jax.
"""

import signal
import threading
import time
from collections.abc import Callable

_A_MOMENT = 1.0


class Preemption:
    """The counterpart of ``Interruption`` for several processes that train together.

    Attributes:
        received: The signal, once all processes are to end; None before.
    """

    def __init__(self, preempted: Callable[[], bool], notify: Callable[[], object], *, leaves_last: bool) -> None:
        """Start without a signal.

        Args:
            preempted: Returns True, before a step, if all processes are to end after it.
            notify: Called once they are.
            leaves_last: Whether the others would fail if this process ended before them.
        """
        self.received: int | None = None
        self._training: int | None = None  # the thread that trains
        self._preempted = preempted
        self._notify = notify
        self._leaves_last = leaves_last

    def before_step(self) -> None:
        """Check for preemption; called before each step."""
        if self.received is None and self._preempted():
            self.received, self._training = signal.SIGTERM, threading.get_ident()
            self._notify()

    @property
    def name(self) -> str | None:
        """The name of the signal; None if none has come."""
        return None if self.received is None else signal.Signals(self.received).name

    @property
    def may_be_delivered(self) -> bool:
        """Whether all processes are to end, and this is the thread that trains.

        Batch hooks of earlier steps that Keras had handed to its own threads may still run there, at another time in
        each process: a save from there would not be at the same step in all.
        """
        return self.received is not None and threading.get_ident() == self._training

    def deliver(self, *, hold: bool = True) -> None:
        """Deliver the signal as if jax did not handle it."""
        del hold
        number, self.received = self.received, None
        if number is None:
            return
        if self._leaves_last:
            time.sleep(_A_MOMENT)
        signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
        signal.raise_signal(number)
