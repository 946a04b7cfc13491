"""The best monitored value, now and once the saves under way are durable."""

from collections.abc import Iterable

from .._moment import Moment
from .._policies.monitor import Mode, Verdict, judge
from .._saving import Save


class Best:
    """The best value of the saves so far. Only the training thread changes it, after a save has succeeded.

    Attributes:
        threshold: The value that the first save had to beat; None if there was none.
        value: The best value; None before the first.
        coming: The best value once the saves under way are durable.
    """

    def __init__(self, value: float | None) -> None:
        """Start with the value that the first save has to beat."""
        self.threshold = self.value = self.coming = value

    def judge(self, moment: Moment, monitor: str, mode: Mode) -> tuple[Verdict, float | None]:
        """Compare a moment's value with the best. See :func:`lastgood._policies.monitor.judge`."""
        return judge(monitor, moment.logs, self.value, mode)

    def expect(self, value: float | None, *, under_way: bool) -> None:
        """Note that a save begins.

        Args:
            value: The best value once the save is durable; None if the save does not change it.
            under_way: Whether an earlier save has not ended yet.
        """
        if value is not None:
            self.coming = value
        elif not under_way:
            self.coming = self.value

    def settle(self, save: Save) -> None:
        """Note the outcome of a save."""
        if save.error is not None:
            self.coming = self.value
        elif save.best is not None:
            self.value = save.best

    def seen_with(self, saves: Iterable[Save]) -> float | None:
        """Return the best value, including saves that have succeeded but are not settled yet."""
        value = self.value
        for save in saves:
            if save.is_durable and save.best is not None:
                value = save.best
        return value
