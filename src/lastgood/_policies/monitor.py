"""The direction in which a metric improves, and whether a value beats the best so far."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from .._errors import MonitorError
from .._moment import as_scalar

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Direction:
    """The direction in which a metric improves.

    Attributes:
        mode: ``"min"`` where less is better, ``"max"`` where more is.
        guessed: Whether ``mode`` is a guess, so that the user should pass it.
    """

    mode: Mode
    guessed: bool = False


def resolve_direction(monitor: str, mode: str, known: Mapping[str, Mode]) -> Direction:
    """Return the direction in which ``monitor`` improves.

    Args:
        monitor: The monitored name, as in the logs.
        mode: What the user passed: ``"min"``, ``"max"`` or ``"auto"``.
        known: The mode of each metric that defines one, by the name in the logs without ``val_``.
    """
    if mode in ("min", "max"):
        return Direction("max" if mode == "max" else "min")
    if "acc" in monitor or monitor.startswith("fmeasure"):
        return Direction("max")
    name = monitor.removeprefix("val_")
    if name == "loss" or name.endswith("_loss"):
        return Direction("min")
    if name in known:
        return Direction(known[name])
    return Direction("min", guessed=True)


class Verdict(Enum):
    """What the monitored value says about this save."""

    IMPROVED = "improved"
    NOT_IMPROVED = "did not improve"
    MISSING = "missing"


def judge(monitor: str, logs: Mapping[str, Any], best: float | None, mode: Mode) -> tuple[Verdict, float | None]:
    """Compare the monitored value with the best so far.

    Args:
        monitor: The monitored name.
        logs: The logs of this hook.
        best: The best value so far; None while there is none.
        mode: The direction in which the metric improves.

    Returns:
        The verdict, and the value that was compared (None when it is missing).

    Raises:
        MonitorError: The value is not a scalar.
    """
    value = logs.get(monitor)
    if value is None:
        return Verdict.MISSING, None
    current = as_scalar(value)
    if current is None:
        raise MonitorError(
            f"The monitored value '{monitor}' must be a scalar, but the logs hold {value!r}. "
            "Monitor a metric that gives one number, or reduce this one."
        )
    return (Verdict.IMPROVED if is_better(current, best, mode) else Verdict.NOT_IMPROVED), current


def is_better(current: float, best: float | None, mode: Mode) -> bool:
    """Return True if ``current`` is strictly better than ``best``; NaN never is, not even as the first value."""
    if math.isnan(current):
        return False
    if best is None or math.isnan(best):
        return True
    return current > best if mode == "max" else current < best
