"""The steps that order a run's checkpoints: they only ever go up, whatever counts them."""


class StepCounter:
    """Turns the count of an optimizer's updates, or of batches, into steps.

    The counts of a ``fit`` may go back: the model is compiled again, or its optimizer is used only from some epoch on,
    and batches were counted before. The steps continue from where they were.
    """

    def __init__(self) -> None:
        """Begin with step 0."""
        self._last = 0
        self._ahead = 0

    def step(self, count: int) -> int:
        """Return the step at which the count is ``count``."""
        if count + self._ahead < self._last:
            self._ahead = self._last + 1 - count
        self._last = count + self._ahead
        return self._last

    def continue_from(self, step: int, count: int) -> None:
        """Continue after a restart from a step that was saved, where the count is ``count`` now."""
        self._ahead = max(0, step - count)
        self._last = step
