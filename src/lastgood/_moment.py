"""The point in training at which a hook is called: it decides on a save, names it and describes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

Hook = Literal["batch", "epoch", "validation", "end", "loop"]
"""The hook: the end of a batch or an epoch, a batch of a validation, the end of training, or a loop of your own."""


@dataclass(frozen=True)
class Moment:
    """A point in training, one for each call of a hook.

    The step and the metrics are fetched from the device when they are first read, and then kept.

    Attributes:
        epoch: The epoch, counted from 1.
        batch: Batches done in it; None at its end.
        hook: The hook that was called.
        at: The time in seconds, from a monotonic clock.
        saving: Whether an earlier save is still being written.
    """

    epoch: int
    batch: int | None
    hook: Hook
    at: float = 0.0
    saving: bool = False
    _logs: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False)
    _step: Callable[[], int] = field(default=int, repr=False)

    @cached_property
    def logs(self) -> Mapping[str, Any]:
        """The logs that the hook was given, with values that this process holds."""
        return self._logs()

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """The scalars among the logs, by name."""
        return {name: number for name, value in self.logs.items() if (number := as_scalar(value)) is not None}

    @cached_property
    def step(self) -> int:
        """The optimizer's step, or the step that a loop of your own passed."""
        return self._step()

    @property
    def place(self) -> tuple[int, int | None]:
        """The epoch and the batch."""
        return self.epoch, self.batch


def as_scalar(value: Any) -> float | None:
    """Return ``value`` as a float if it is a number, or an array or tensor of size 1; else None."""
    if isinstance(value, str | bytes):
        return None
    try:
        array = np.asarray(value)
        return float(array.reshape(())) if array.size == 1 else None
    except (TypeError, ValueError, RuntimeError):  # a ragged list, an object, a tensor that is not on a host
        return None
