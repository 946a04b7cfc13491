"""Statistics of the arrays in a checkpoint, and the differences between two checkpoints."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Entry, Weights


@dataclass(frozen=True)
class Statistics:
    """Statistics of an array; values that are NaN or infinite are counted, and left out of the rest.

    Attributes:
        mean: The mean.
        std: The standard deviation.
        low: The minimum.
        high: The maximum.
        nan: The number of NaN values.
        inf: The number of infinite values.
    """

    mean: float
    std: float
    low: float
    high: float
    nan: int
    inf: int


def statistics(array: npt.NDArray[Any]) -> Statistics:
    """Return the statistics of an array; they are NaN if it has no finite values."""
    nan = inf = 0
    if array.dtype.kind == "f":
        nan, inf = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        array = array[np.isfinite(array)] if nan or inf else array
    if not array.size:
        return Statistics(math.nan, math.nan, math.nan, math.nan, nan, inf)
    mean, std = float(array.mean(dtype=np.float64)), float(array.std(dtype=np.float64))
    return Statistics(mean, std, float(array.min()), float(array.max()), nan, inf)


@dataclass(frozen=True)
class Change:
    """How an array differs between two checkpoints.

    Attributes:
        name: The array's path in the files.
        what: ``"same"``, ``"changed"``, ``"only in A"``, ``"only in B"``, or ``"other shape or type"``.
        norm: The norm of the change as a vector; None if nothing changed or NumPy cannot compute with the type.
        relative: The norm of the change, divided by that of the array in A.
    """

    name: str
    what: str
    norm: float | None = None
    relative: float | None = None


def changes(a: Weights, b: Weights) -> Iterator[Change]:
    """Yield the change of each array, in the order of A and then of B."""
    ours = {entry.name: entry for entry in a.entries}
    theirs = {entry.name: entry for entry in b.entries}
    for name, entry in ours.items():
        yield _change(a, b, entry, theirs[name]) if name in theirs else Change(name, "only in A")
    yield from (Change(name, "only in B") for name in theirs if name not in ours)


def _change(a: Weights, b: Weights, ours: Entry, theirs: Entry) -> Change:
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return Change(ours.name, "other shape or type")
    if a.raw(ours.name).tobytes() == b.raw(ours.name).tobytes():
        return Change(ours.name, "same")
    before, after = a.numbers(ours.name), b.numbers(ours.name)
    if before is None or after is None:
        return Change(ours.name, "changed")
    norm = float(np.linalg.norm((after.astype(np.float64) - before.astype(np.float64)).reshape(-1)))
    length = float(np.linalg.norm(before.astype(np.float64).reshape(-1)))
    return Change(ours.name, "changed", norm, norm / length if length else math.inf)


def config_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (place, in A, in B) for each value that differs in two configurations; None stands for a missing one."""
    ours, theirs = dict(_leaves(a, "")), dict(_leaves(b, ""))
    places = [*ours, *(place for place in theirs if place not in ours)]
    return [(place, ours.get(place), theirs.get(place)) for place in places if ours.get(place) != theirs.get(place)]


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(node, list) and node:
        for i, value in enumerate(node):
            yield from _leaves(value, f"{place}/{i}")
    else:
        yield place, node
