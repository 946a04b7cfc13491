"""A comparison of several runs: their best checkpoints, their settings, and where they differ."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from .story import Story
from .values import duration, number, size, when

_NO_END = "no end recorded"


@dataclass(frozen=True)
class Row:
    """One row of a comparison.

    Attributes:
        name: What it compares.
        cells: The value of each run, as text; empty if unknown.
        best: The indices of the best cells; empty if the row is not ranked.
    """

    name: str
    cells: Sequence[str]
    best: frozenset[int] = frozenset()

    @property
    def differs(self) -> bool:
        """Whether the values of the runs differ."""
        return len(set(self.cells)) > 1


def labels(runs: Sequence[str]) -> list[str]:
    """Return a label for each run: as many last parts of its path as make the labels unique."""
    parts = [PurePosixPath(run.replace("\\", "/")).parts for run in runs]
    longest = max(map(len, parts), default=0)
    for length in range(1, longest + 1):
        ends = ["/".join(each[-length:]).replace("//", "/") for each in parts]
        if len(set(ends)) == len(ends):
            return ends
    numbers = count(1)
    return [f"{run} ({next(numbers)})" for run in runs]


def metrics_of(stories: Iterable[Story], monitor: str) -> list[str]:
    """Return the metrics that any of the runs has: the monitored one first, then those of validation."""
    names = {name for story in stories for name in story.curves}
    return sorted(names, key=lambda name: (name != monitor, not name.startswith("val_"), name))


def overview(stories: Sequence[Story]) -> list[Row]:
    """Return the rows for the time and restarts of the runs."""
    rows: dict[str, Callable[[Story], str]] = {
        "state": state,
        "began (UTC)": lambda story: when(story.starts.all[0].began) if story.starts.all else "",
        "trained for": trained,
        "starts": lambda story: str(len(story.starts.all) or ""),
        "one epoch": lambda story: "" if story.epoch_seconds is None else duration(story.epoch_seconds),
        "last step": lambda story: str(max((max(curve) for curve in story.curves.values() if curve), default="")),
        "training waited for saves": lambda story: duration(sum(c.held for c in story.costs)) if story.costs else "",
        "checkpoints": lambda story: f"{len(story.checkpoints)}, {size(story.size)}",
    }
    return [Row(name, [of(story) for story in stories]) for name, of in rows.items()]


def best_checkpoints(stories: Sequence[Story]) -> list[Row]:
    """Return the rows for the best checkpoint of each run, with the best of all marked."""
    best = [story.best for story in stories]
    monitor = stories[0].monitor
    names = sorted({name for each in best if each for name in each.metrics if name != monitor})
    values = [each.metrics.get(monitor) if each else None for each in best]
    return [
        Row("checkpoint", [story.name_of(story.best) for story in stories]),
        Row(monitor, [number(value) for value in values], _winners(values, stories[0].mode)),
        *(Row(name, [number(each.metrics.get(name)) if each else "" for each in best]) for name in names),
        Row("step", [str(each.step) if each else "" for each in best]),
        Row("epoch", [str(each.epoch) if each else "" for each in best]),
        Row("size", [size(each.size) if each else "" for each in best]),
        Row("made (UTC)", [when(each.created) if each else "" for each in best]),
    ]


def side_by_side(facts: Sequence[Mapping[str, str]]) -> list[Row]:
    """Return one row for each fact that is known of any run, in the order in which they first appear."""
    names = dict.fromkeys(name for each in facts for name in each)
    return [Row(name, [each.get(name, "") for each in facts]) for name in names]


def state(story: Story) -> str:
    """Return how a run's newest start ended, as far as known."""
    if story.start is None:
        return ""
    return story.start.ending or f"{_NO_END}; last event at {when(story.start.last)}"


def trained(story: Story) -> str:
    """Return how long a run has trained."""
    if not story.starts.all:
        return ""
    return f"{'at least ' if story.trained_longer else ''}{duration(story.trained)}"


def _winners(values: Sequence[float | None], mode: str) -> frozenset[int]:
    known = {i: value for i, value in enumerate(values) if value is not None and math.isfinite(value)}
    if len(known) < 2:
        return frozenset()
    best = (min if mode == "min" else max)(known.values())
    return frozenset(i for i, value in known.items() if value == best)
