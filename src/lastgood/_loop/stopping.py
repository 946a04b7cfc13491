"""Whether a loop of the user's own is to end; processes that train together learn it at the same step.

alone     a signal comes -> the loop asks, and ends
PyTorch   a signal comes to one -> all ask: every few steps they meet -> all end
JAX       a signal comes to one, where JAX keeps it -> all ask: JAX names a step that all can reach -> all end
"""

from collections.abc import Iterable

from .._engine import Council
from .._group import jax_takes_signals
from .._resuming import Interruption, Preemption


class Stop:
    """The signals that come during a loop."""

    def __init__(self, council: Council, signals: Iterable[int]) -> None:
        """Hold back nothing yet.

        Args:
            council: The decisions of the processes that train together.
            signals: The numbers of the signals to hold back.
        """
        self._council = council
        self._held = Interruption(lambda: None, lambda _: True, signals)
        self._preemption: Preemption | None = None
        self._agreed: int | None = None

    def hold(self) -> None:
        """Hold back signals, unless JAX keeps them for itself."""
        if not jax_takes_signals():
            self._held.hold()

    def follow(self) -> None:
        """Follow the processes that the council has found."""
        group = self._council.group
        if group.preempted is not None and self._preemption is None:
            self._preemption = Preemption(group.preempted, lambda: None, leaves_last=group.is_chief)

    def is_asked(self) -> bool:
        """Return whether the loop is to end. All processes must ask equally often."""
        if self._agreed is None:
            self._agreed = self._ask()
        return self._agreed is not None

    def _ask(self) -> int | None:
        if self._preemption is not None:
            self._preemption.before_step()
            return self._preemption.received
        return self._council.greatest(self._held.received or 0) or None

    def taken(self) -> str | None:
        """Take up the signal that all have agreed on; return the name of the one that has come, or None."""
        source = self._preemption or self._held
        source.received = source.received or self._agreed
        return source.name

    def deliver(self) -> None:
        """Let the signal take effect, in all processes that end because of it."""
        self.taken()
        self._agreed = None
        (self._preemption or self._held).deliver(hold=False)
