"""When a save is due."""

import operator
from dataclasses import dataclass
from typing import Any, Literal

from .._errors import ArgumentError


def parse_save_freq(value: Any) -> int | Literal["epoch"]:
    """Return ``"epoch"`` or the number of batches between saves.

    Args:
        value: What the user passed; an integer of any kind (NumPy's too) counts batches.

    Raises:
        ArgumentError: It is neither ``"epoch"`` nor an integer above zero.
    """
    if isinstance(value, str) and value == "epoch":
        return "epoch"
    batches = _positive_integer(value)
    if batches is None:
        raise ArgumentError(
            f"Unrecognized save_freq: {value!r}. Expected 'epoch' or a whole number of batches above 0."
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
