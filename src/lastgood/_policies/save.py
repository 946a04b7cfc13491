"""When a save is due."""

import operator
import statistics
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from .._errors import ArgumentError


@dataclass(frozen=True)
class Budget:
    """Has checkpoints cost at most a share of training time: what saves cost is measured, and the interval follows.

    >>> ckpt = ModelCheckpoint("last.keras", save_freq=lastgood.Budget(overhead=0.01))  # doctest: +SKIP

    Attributes:
        overhead: The share, above 0 and below 1; 0.01 is one percent.

    Raises:
        ArgumentError: A ValueError: the share is none.
    """

    overhead: float = 0.01

    def __post_init__(self) -> None:
        if isinstance(self.overhead, bool) or not 0 < self.overhead < 1:
            raise ArgumentError(f"Unrecognized overhead: {self.overhead!r}. Expected a share such as 0.01.")


SaveFreq = int | timedelta | Budget | Literal["epoch"]


def parse_save_freq(value: Any) -> SaveFreq:
    """Return when to save, as the user said it.

    Args:
        value: What the user passed; an integer of any kind (NumPy's too) counts batches.

    Raises:
        ArgumentError: It is neither ``"epoch"``, nor an integer above zero, a span of time above zero, or a budget.
    """
    if isinstance(value, str) and value == "epoch":
        return "epoch"
    if isinstance(value, Budget) or (isinstance(value, timedelta) and value > timedelta()):
        return value
    batches = _positive_integer(value)
    if batches is None:
        raise ArgumentError(
            f"Unrecognized save_freq: {value!r}. Expected 'epoch', a whole number of batches above 0, a timedelta "
            "above 0, or a lastgood.Budget."
        )
    return batches


def parse_period(value: Any) -> int:
    """Return the number of epochs between saves.

    Raises:
        ArgumentError: It is not an integer above zero.
    """
    epochs = _positive_integer(value)
    if epochs is None:
        raise ArgumentError(f"Unrecognized period: {value!r}. Expected a whole number of epochs above 0.")
    return epochs


def parse_on_error(value: Any) -> Literal["raise", "warn"]:
    """Return what to do about a save that failed.

    Raises:
        ArgumentError: It is neither ``"raise"`` nor ``"warn"``.
    """
    if value == "raise":
        return "raise"
    if value == "warn":
        return "warn"
    raise ArgumentError(f"Unrecognized on_error: {value!r}. Expected 'raise' or 'warn'.")


def _positive_integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if number > 0 else None


@dataclass(frozen=True)
class BatchCount:
    """Batches seen since the last save, counted across epochs and fits.

    Attributes:
        since_save: Batches seen since the last save that was due.
        last: Index, within its epoch, of the last batch seen; None at an epoch's start.
    """

    since_save: int = 0
    last: int | None = None

    def at_epoch_begin(self) -> "BatchCount":
        """Return the count with a new epoch begun: batch indices start over."""
        return BatchCount(self.since_save, None)

    def after(self, batch: int, steps: int | None) -> "BatchCount":
        """Return the count after the hook for ``batch``, the index of the last batch of a chunk.

        With ``steps_per_execution=K`` hooks come every K batches, and a short last chunk counts what it holds: Keras 3
        gives its hook the index that a full chunk would have ended at, beyond the epoch's last batch.

        Args:
            batch: The index that the hook was given.
            steps: Batches of an epoch; None where that is not known.
        """
        if steps:
            batch = min(batch, steps - 1)
        new_epoch = self.last is None or batch <= self.last
        chunk = batch + 1 if new_epoch else batch - (self.last or 0)
        return BatchCount(self.since_save + chunk, batch)

    def saved(self) -> "BatchCount":
        """Return the count after a save was due: zero, with no remainder kept."""
        return BatchCount(0, self.last)


_TO_BEGIN_WITH = 10  # batches, the first of which compile and warm up
_REMEMBERED = 100


class Pace:
    """Tells by the clock when a save is due, and for a :class:`Budget` learns from what saves cost.

    All times are in seconds; the clock is given, and may be any that does not jump.
    """

    def __init__(self, freq: timedelta | Budget) -> None:
        """Begin without having seen a batch."""
        self._fixed = freq.total_seconds() if isinstance(freq, timedelta) else None
        self._overhead = freq.overhead if isinstance(freq, Budget) else 1.0
        self._batches: deque[float] = deque(maxlen=_REMEMBERED)  # how long those took beside which nothing was saved
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen = 0
        self._before: float | None = None
        self._last_save: float | None = None

    def begin(self, now: float) -> None:
        """Note that training, or an epoch, begins: the time until its first batch says nothing of batches."""
        self._before = None
        if self._last_save is None:
            self._last_save = now

    def batch(self, now: float, *, saving: bool) -> None:
        """Note the end of a batch.

        Args:
            now: When it is.
            saving: Whether a save was being written beside it: what it took longer for that is the save's cost.
        """
        self._seen += 1
        if self._before is not None:
            took = now - self._before
            if not saving:
                self._batches.append(took)
            elif self._costs and self._batches:
                self._costs[-1] += max(0.0, took - statistics.median(self._batches))
        self._before = now

    def due(self, now: float) -> bool:
        """Tell whether to save."""
        interval = self.interval
        if interval is None:
            return self._seen >= _TO_BEGIN_WITH
        return now - (self._last_save or 0.0) >= interval

    def saved(self, started: float, now: float) -> None:
        """Note a save that has held training from ``started`` until ``now``."""
        self._costs.append(now - started)
        self._last_save = self._before = now

    @property
    def cost(self) -> float | None:
        """What a save costs training; None before the first."""
        return statistics.median(self._costs) if self._costs else None

    @property
    def interval(self) -> float | None:
        """The time between saves; None while nothing is known to choose it by."""
        if self._fixed is not None:
            return self._fixed
        return None if self.cost is None else self.cost / self._overhead
