"""What is known of a run, put in order for the page: curves, checkpoints, what saves cost, and what happened when."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._checkpoint import Checkpoint

_MOST = 1 << 63
_END_OF_TIME = 253_402_300_800  # the year 10000: calendars know no more

Curve = dict[int, float]
"""Values by step."""


@dataclass
class Happening:
    """Something on the time line.

    Attributes:
        at: When, in seconds since 1970.
        what: What, in words.
    """

    at: float
    what: str


@dataclass(frozen=True)
class Cost:
    """What one save took.

    Attributes:
        step: The step.
        size: Bytes.
        held: For how many seconds training waited for it.
        durable: How many seconds it took from then until it was durable.
    """

    step: int
    size: int
    held: float
    durable: float


@dataclass
class Story:
    """A run's past and present.

    Attributes:
        run: The run's directory.
        monitor: The metric that says which is best.
        checkpoints: Those that are there by their path in it, in the order of their steps.
        best: The best of them; None if none has the metric.
        pruned: Steps of those that were pruned.
        curves: Metrics by name.
        costs: What saves took, in their order.
        happenings: What happened, in order.
        environment: What trained it, by name.
    """

    run: str
    monitor: str
    checkpoints: Mapping[str, Checkpoint]
    best: Checkpoint | None
    pruned: list[int] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        run: str,
        checkpoints: Mapping[str, Checkpoint],
        best: Checkpoint | None,
        events: Iterable[Mapping[str, Any]],
        monitor: str,
    ) -> "Story":
        """Tell a run's story.

        Args:
            run: The run's directory.
            checkpoints: Its checkpoints by their path in it, in the order of their steps.
            best: The best of them.
            events: Its journal.
            monitor: The metric that says which is best.
        """
        story = cls(run, monitor, checkpoints, best)
        going: set[str] = set()
        for event in events:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
                story._tell(event, going)
        for each in checkpoints.values():
            if each.step is not None:
                story._plot(each.step, each.metrics)
            if each.record is not None:
                story.environment |= dict(each.record.versions)
        story.curves = {name: dict(sorted(curve.items())) for name, curve in story.curves.items()}
        return story

    def _tell(self, event: Mapping[str, Any], going: set[str]) -> None:
        """Take in an event; ``going`` are the trainings that have begun and not ended by then."""
        match event["event"]:
            case "begin":
                key = f"{event['run']} {event['template']}"
                if key in going:
                    self.happenings.append(
                        Happening(_seconds(event["at"]), "found that training had ended without a word")
                    )
                going.add(key)
                resumed = event.get("resumed")
                what = f"resumed from {resumed}" if resumed else "training began"
                self.happenings.append(Happening(_seconds(event["at"]), what))
                self.environment |= {str(name): str(value) for name, value in event.get("environment", {}).items()}
            case "end":
                going.discard(f"{event['run']} {event['template']}")
                what = "training was stopped by a callback" if event["stopped"] else "training ended"
                self.happenings.append(Happening(_seconds(event["at"]), what))
            case "signal":
                self.happenings.append(Happening(_seconds(event["at"]), f"{event['name']} came; the state was saved"))
            case "epoch":
                self._plot(_count(event["step"]), event["metrics"])
            case "save":
                self._plot(_count(event["step"]), event["metrics"])
                costs = event["costs"]
                held, durable = costs["wait"] + costs["snapshot"], costs["write"] + costs["fsync"]
                size = _count(costs["size"])
                self.costs.append(Cost(_count(event["step"]), size, _seconds(held), _seconds(durable)))
            case "prune":
                self.pruned.append(_count(event["step"]))

    def _plot(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.curves.setdefault(name, {})[step] = float(value)

    def families(self) -> dict[str, list[str]]:
        """Return the curves' names by what they measure: that of training and that of validation go together."""
        families: dict[str, list[str]] = {}
        for name in sorted(self.curves, key=lambda name: (name.removeprefix("val_"), name)):
            families.setdefault(name.removeprefix("val_"), []).append(name)
        return families


def _count(value: Any) -> int:
    """Return a number that can be drawn and printed.

    Raises:
        ValueError: It is none, whatever the journal says.
    """
    if not 0 <= (count := int(value)) < _MOST:
        raise ValueError(f"{value!r} counts nothing")
    return count


def _seconds(value: Any) -> float:
    """Return a time or a duration that can be. See :func:`_count`."""
    if not 0 <= (seconds := float(value)) < _END_OF_TIME:
        raise ValueError(f"{value!r} is no time")
    return seconds


def when(at: float) -> str:
    """Return a time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def steps_of(checkpoints: Iterable[Checkpoint]) -> list[int]:
    """Return the steps of those that have one."""
    return [each.step for each in checkpoints if each.step is not None]
