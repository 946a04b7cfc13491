"""The end of a training of several processes that is asked for from outside: all hear of it at the same step.

jax takes SIGTERM for itself, so no handler is put in its place: it says, before a step, that all are to save after it.
Then each process gets the signal that it would have got.
"""

import signal
import time
from collections.abc import Callable

_A_MOMENT = 1.0


class Preemption:
    """What a session asks of signals, where several processes train.

    Attributes:
        received: The signal, once all are to end.
    """

    def __init__(self, preempted: Callable[[], bool], notify: Callable[[], object], *, leaves_last: bool) -> None:
        """Have heard of nothing yet.

        Args:
            preempted: Tells, before a step, whether all are to end after it.
            notify: Called when they are.
            leaves_last: Whether the others would fail if this process ended before them.
        """
        self.received: int | None = None
        self._preempted = preempted
        self._notify = notify
        self._leaves_last = leaves_last

    def before_step(self) -> None:
        """Ask; called before each step."""
        if self.received is None and self._preempted():
            self.received = signal.SIGTERM
            self._notify()

    @property
    def name(self) -> str | None:
        """The name of the signal; None if none has come."""
        return None if self.received is None else signal.Signals(self.received).name

    @property
    def may_be_delivered(self) -> bool:
        """Whether all are to end."""
        return self.received is not None

    def deliver(self, *, hold: bool = True) -> None:
        """Let the signal do what it would have done without jax."""
        del hold
        number, self.received = self.received, None
        if number is None:
            return
        if self._leaves_last:
            time.sleep(_A_MOMENT)
        signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
        signal.raise_signal(number)
