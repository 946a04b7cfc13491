"""The steps that order a run's checkpoints; they only go up, whatever is counted."""


class StepCounter:
    """A converter from counts of optimizer updates, or of batches, to steps.

    A count may drop: if the model is compiled again, or if batches were counted before its optimizer was first used.
    The steps continue from where they were.
    """

    def __init__(self) -> None:
        """Start with step 0."""
        self._last = 0
        self._ahead = 0

    def step(self, count: int) -> int:
        """Return the step for a count."""
        if count + self._ahead < self._last:
            self._ahead = self._last + 1 - count
        self._last = count + self._ahead
        return self._last

    def continue_from(self, step: int, count: int) -> None:
        """Continue after a restart from a saved step, with ``count`` as the current count."""
        self._ahead = max(0, step - count)
        self._last = step
