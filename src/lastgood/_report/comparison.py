"""Several runs beside each other: which is best, what they were asked to do, and where they differ."""

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
    """One thing that is compared.

    Attributes:
        name: What it is.
        cells: What each run has there, as text; empty where that is not known.
        best: Which of the cells are the best; none where nothing is better than another.
    """

    name: str
    cells: Sequence[str]
    best: frozenset[int] = frozenset()

    @property
    def differs(self) -> bool:
        """Whether the runs have different values there."""
        return len(set(self.cells)) > 1


def labels(runs: Sequence[str]) -> list[str]:
    """Return what to call each run: as much of the end of its path as tells it from the others."""
    parts = [PurePosixPath(run.replace("\\", "/")).parts for run in runs]
    longest = max(map(len, parts), default=0)
    for length in range(1, longest + 1):
        ends = ["/".join(each[-length:]).replace("//", "/") for each in parts]
        if len(set(ends)) == len(ends):
            return ends
    numbers = count(1)
    return [f"{run} ({next(numbers)})" for run in runs]


def metrics_of(stories: Iterable[Story], monitor: str) -> list[str]:
    """Return the metrics that any of the runs has, the monitored one first, then those of validation."""
    names = {name for story in stories for name in story.curves}
    return sorted(names, key=lambda name: (name != monitor, not name.startswith("val_"), name))


def overview(stories: Sequence[Story]) -> list[Row]:
    """Return how the runs went."""
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
    """Return the best checkpoint of each run, with the best of all marked."""
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
    """Return what is known of each run, by name, in the order in which it was noted."""
    names = dict.fromkeys(name for each in facts for name in each)
    return [Row(name, [each.get(name, "") for each in facts]) for name in names]


def state(story: Story) -> str:
    """Return how a run's newest start has ended, as far as that is known."""
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
