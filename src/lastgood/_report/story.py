"""The contents of a report: curves, checkpoints, the cost of saves, and a timeline."""

import contextlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._checkpoint import Checkpoint
from .._policies.monitor import Mode
from .starts import Start, Starts
from .values import count, seconds

Curve = dict[int, float]
"""Values by step."""


@dataclass
class Happening:
    """One entry of the timeline.

    Attributes:
        at: The time, in seconds since 1970.
        what: What happened, in words.
    """

    at: float
    what: str


@dataclass(frozen=True)
class Cost:
    """The cost of one save.

    Attributes:
        step: The step.
        size: Bytes.
        held: Seconds that training waited for it.
        durable: Seconds from then until it was durable.
        kept: Bytes of all checkpoints that exist after it, according to the journal.
        shared: Bytes that it shares with earlier checkpoints on the disk.
    """

    step: int
    size: int
    held: float
    durable: float
    kept: int
    shared: int = 0


@dataclass
class Story:
    """The history and state of a run.

    Attributes:
        run: The run's directory.
        monitor: The metric that ranks checkpoints.
        checkpoints: The existing checkpoints by their path in the run, ordered by step.
        best: The best checkpoint; None if none has the metric.
        mode: Whether lower or higher values are better.
        starts: The starts of training.
        pruned: The steps of pruned checkpoints.
        curves: Metrics by name.
        elapsed: Seconds of training in all starts together, by step.
        costs: The costs of saves, in order.
        epochs: Seconds of each epoch, without the first of each start.
        happenings: The timeline, in order.
    """

    run: str
    monitor: str
    checkpoints: Mapping[str, Checkpoint]
    best: Checkpoint | None
    mode: Mode = "min"
    starts: Starts = field(default_factory=Starts)
    pruned: list[int] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    elapsed: Curve = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        run: str,
        checkpoints: Mapping[str, Checkpoint],
        best: Checkpoint | None,
        events: Iterable[Mapping[str, Any]],
        monitor: str,
        mode: Mode = "min",
    ) -> "Story":
        """Return the story of a run.

        Args:
            run: The run's directory.
            checkpoints: Its checkpoints by their path in the run, ordered by step.
            best: The best checkpoint.
            events: The events of its journal.
            monitor: The metric that ranks checkpoints.
            mode: Whether lower or higher values are better.
        """
        story = cls(run, monitor, checkpoints, best, mode)
        teller = _Teller(story)
        for event in events:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
                teller.tell(event)
        for each in checkpoints.values():
            if each.step is not None:
                story.plot(each.step, each.metrics)
        story.curves = {name: dict(sorted(curve.items())) for name, curve in story.curves.items()}
        story.elapsed = dict(sorted(story.elapsed.items()))
        return story

    def plot(self, step: int, values: Mapping[str, float]) -> None:
        """Add metrics to the curves."""
        for name, value in values.items():
            self.curves.setdefault(name, {})[step] = float(value)

    @property
    def latest(self) -> Checkpoint | None:
        """The newest checkpoint; None if there is none."""
        return next(reversed(list(self.checkpoints.values())), None)

    def name_of(self, checkpoint: Checkpoint | None) -> str:
        """Return a checkpoint's path in the run; an empty string for None."""
        paths = ((each.path, name) for name, each in self.checkpoints.items())
        return next((name for path, name in paths if checkpoint is not None and path == checkpoint.path), "")

    @property
    def start(self) -> Start | None:
        """The newest start; None if the journal has none."""
        return self.starts.all[-1] if self.starts.all else None

    @property
    def trained(self) -> float:
        """How many seconds the run has trained, as far as known."""
        return sum(start.lasted for start in self.starts.all)

    @property
    def trained_longer(self) -> bool:
        """Whether it may have trained longer, because the end of a start is unknown."""
        return any(not start.has_end for start in self.starts.all)

    @property
    def epoch_seconds(self) -> float | None:
        """The median duration of an epoch, in seconds; None if unknown."""
        return statistics.median(self.epochs) if self.epochs else None

    @property
    def size(self) -> int:
        """Bytes of the existing checkpoints."""
        return sum(each.size for each in self.checkpoints.values())

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the newest start, by name."""
        return {**self.start.asked(), **self.start.training} if self.start else {}

    @property
    def environment(self) -> dict[str, str]:
        """The versions that trained it, by name: from the newest start, or else from the newest checkpoint."""
        start, latest = self.start, self.latest
        known = dict(latest.record.versions) if latest is not None and latest.record is not None else {}
        return {**known, **start.environment} if start is not None else known

    @property
    def place(self) -> dict[str, str]:
        """The host and the code of the newest start, by name."""
        if self.start is None:
            return {}
        host = {"host": self.start.host} if self.start.host else {}
        return {**host, **self.start.code}

    def families(self) -> dict[str, list[str]]:
        """Return the names of the curves by metric, the monitored one first.

        A training curve and its validation curve belong together.
        """
        first = _measured(self.monitor)
        families: dict[str, list[str]] = {}
        for name in sorted(self.curves, key=lambda name: (_measured(name) != first, _measured(name), name)):
            families.setdefault(_measured(name), []).append(name)
        return families


class _Teller:
    """A builder that adds the events of a journal to a story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._sizes: dict[str, int] = {}  # of the checkpoints that exist by now
        self._kept = 0  # their sum
        self._epoch: tuple[Start, int, float] | None = None  # the last epoch, and when it ended

    def tell(self, event: Mapping[str, Any]) -> None:
        """Add an event to the story.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, OverflowError: The event lacks a field, or is damaged.
        """
        match event["event"]:
            case "begin":
                self._begin(event)
            case "end":
                how = "stopped by a callback" if event["stopped"] else "ended"
                self._happen(event, "training was stopped by a callback" if event["stopped"] else "training ended")
                self._story.starts.end(event, how)
            case "signal":
                self._happen(event, f"{event['name']} received; the state was saved")
                self._story.starts.end_at(event)
            case "epoch":
                self._story.plot(count(event["step"]), event["metrics"])
                self._hear(event)
                self._time(event)
            case "save":
                self._story.plot(count(event["step"]), event["metrics"])
                self._save(event)
                self._hear(event)
            case "prune":
                self._story.pruned.append(count(event["step"]))
                self._kept -= self._sizes.pop(event["path"], 0)

    def _happen(self, event: Mapping[str, Any], what: str) -> None:
        self._story.happenings.append(Happening(seconds(event["at"]), what))

    def _begin(self, event: Mapping[str, Any]) -> None:
        at = seconds(event["at"])
        resumed = event.get("resumed")
        if self._story.starts.begin(event):
            self._story.happenings.append(Happening(at, "the previous start had ended without notice"))
        self._story.happenings.append(Happening(at, f"resumed from {resumed}" if resumed else "training began"))

    def _hear(self, event: Mapping[str, Any]) -> None:
        """Record the time of training up to the event's step."""
        start = self._story.starts.hear(event)
        if start is not None:
            self._story.elapsed[count(event["step"])] = start.before + seconds(event["at"]) - start.began

    def _time(self, event: Mapping[str, Any]) -> None:
        """Record the duration of an epoch, if the same start has recorded the end of the one before it."""
        start = self._story.starts.hear(event)
        epoch, at = count(event["epoch"]), seconds(event["at"])
        if start is None:
            return
        if self._epoch is not None and self._epoch[0] is start and self._epoch[1] == epoch - 1:
            self._story.epochs.append(max(0.0, at - self._epoch[2]))
        self._epoch = start, epoch, at

    def _save(self, event: Mapping[str, Any]) -> None:
        costs = event["costs"]
        held, durable = costs["wait"] + costs["snapshot"], costs["write"] + costs["fsync"]
        step, size, shared = count(event["step"]), count(costs["size"]), count(costs.get("shared", 0))
        path = str(event.get("path"))
        self._kept += size - self._sizes.get(path, 0)
        self._sizes[path] = size
        self._story.costs.append(Cost(step, size, seconds(held), seconds(durable), self._kept, shared))


def monitored(events: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the metric that a run monitored last, and its mode, or ``"auto"``; None if its journal does not say."""
    for event in reversed(events):
        asked = event.get("settings") if event.get("event") == "begin" else event
        if isinstance(asked, Mapping) and isinstance(asked.get("monitor"), str):
            mode = asked.get("mode")
            return asked["monitor"], mode if mode in ("min", "max") else "auto"
    return None


def _measured(name: str) -> str:
    return name.removeprefix("val_")


def steps_of(checkpoints: Iterable[Checkpoint]) -> list[int]:
    """Return the steps of the checkpoints that have one."""
    return [each.step for each in checkpoints if each.step is not None]
