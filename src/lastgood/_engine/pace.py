"""How often processes meet about a question that each of them may ask at every step."""

_SECONDS_BETWEEN = 0.2


class Pace:
    """The number of steps between two meetings, so that they cost nothing that can be measured."""

    def __init__(self) -> None:
        """Start with a meeting at the first step."""
        self._left = 0
        self._met: float | None = None
        self._steps = 1

    def comes_now(self) -> bool:
        """Count a step, and return True if the processes meet in it."""
        self._left -= 1
        return self._left < 0

    def pause(self, now: float) -> int:
        """Return how many steps to skip after a meeting at ``now``, in seconds."""
        took = 0.0 if self._met is None else (now - self._met) / self._steps
        self._met = now
        return min(2 * self._steps, int(_SECONDS_BETWEEN / took)) if took > 0 else 0

    def begin(self, pause: int) -> None:
        """Start counting after a meeting."""
        self._left, self._steps = pause, pause + 1
