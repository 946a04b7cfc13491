"""What is known of a run, put in order for the page: curves, checkpoints, what saves cost, and what happened when."""

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
        kept: Bytes of all checkpoints that the journal knows to be there after it.
        shared: Bytes of it that an earlier checkpoint had on the disk.
    """

    step: int
    size: int
    held: float
    durable: float
    kept: int
    shared: int = 0


@dataclass
class Story:
    """A run's past and present.

    Attributes:
        run: The run's directory.
        monitor: The metric that says which is best.
        checkpoints: Those that are there by their path in it, in the order of their steps.
        best: The best of them; None if none has the metric.
        mode: The way in which the metric improves.
        starts: The starts of its training.
        pruned: Steps of those that were pruned.
        curves: Metrics by name.
        elapsed: Seconds of training, of all starts together, by step.
        costs: What saves took, in their order.
        epochs: Seconds that epochs took, without the first of each start.
        happenings: What happened, in order.
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
        """Tell a run's story.

        Args:
            run: The run's directory.
            checkpoints: Its checkpoints by their path in it, in the order of their steps.
            best: The best of them.
            events: Its journal.
            monitor: The metric that says which is best.
            mode: The way in which it improves.
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
        """Return a checkpoint's path in the run; nothing for None."""
        paths = ((each.path, name) for name, each in self.checkpoints.items())
        return next((name for path, name in paths if checkpoint is not None and path == checkpoint.path), "")

    @property
    def start(self) -> Start | None:
        """The newest start; None if no journal tells of one."""
        return self.starts.all[-1] if self.starts.all else None

    @property
    def trained(self) -> float:
        """For how many seconds it has trained, as far as that is known."""
        return sum(start.lasted for start in self.starts.all)

    @property
    def trained_longer(self) -> bool:
        """Whether it may have trained longer than that: when a start ended without notice, nobody knows when."""
        return any(not start.has_end for start in self.starts.all)

    @property
    def epoch_seconds(self) -> float | None:
        """How long an epoch took, the median of those that are known; None if none is."""
        return statistics.median(self.epochs) if self.epochs else None

    @property
    def size(self) -> int:
        """Bytes of the checkpoints that are there."""
        return sum(each.size for each in self.checkpoints.values())

    @property
    def settings(self) -> dict[str, str]:
        """What the newest start was asked to do, by name."""
        return {**self.start.asked(), **self.start.training} if self.start else {}

    @property
    def environment(self) -> dict[str, str]:
        """What trained it, by name: as the newest start says, or else the newest checkpoint."""
        start, latest = self.start, self.latest
        known = dict(latest.record.versions) if latest is not None and latest.record is not None else {}
        return {**known, **start.environment} if start is not None else known

    @property
    def place(self) -> dict[str, str]:
        """Where the newest start ran, and which code, by name."""
        if self.start is None:
            return {}
        host = {"host": self.start.host} if self.start.host else {}
        return {**host, **self.start.code}

    def families(self) -> dict[str, list[str]]:
        """Return the curves' names by what they measure, that of the monitored metric first.

        That of training and that of validation go together.
        """
        first = _measured(self.monitor)
        families: dict[str, list[str]] = {}
        for name in sorted(self.curves, key=lambda name: (_measured(name) != first, _measured(name), name)):
            families.setdefault(_measured(name), []).append(name)
        return families


class _Teller:
    """Puts the events of a journal into a story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._sizes: dict[str, int] = {}  # of the checkpoints that are there by now
        self._kept = 0  # the sum of them
        self._epoch: tuple[Start, int, float] | None = None  # the last epoch, and when it ended

    def tell(self, event: Mapping[str, Any]) -> None:
        """Take in an event.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, OverflowError: It lacks something, or is damaged.
        """
        match event["event"]:
            case "begin":
                self._begin(event)
            case "end":
                how = "stopped by a callback" if event["stopped"] else "ended"
                self._happen(event, "training was stopped by a callback" if event["stopped"] else "training ended")
                self._story.starts.end(event, how)
            case "signal":
                self._happen(event, f"{event['name']} came; the state was saved")
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
            self._story.happenings.append(Happening(at, "training was found to have ended without notice"))
        self._story.happenings.append(Happening(at, f"resumed from {resumed}" if resumed else "training began"))

    def _hear(self, event: Mapping[str, Any]) -> None:
        """Note how long training had lasted at a step."""
        start = self._story.starts.hear(event)
        if start is not None:
            self._story.elapsed[count(event["step"])] = start.before + seconds(event["at"]) - start.began

    def _time(self, event: Mapping[str, Any]) -> None:
        """Note how long an epoch took, if it is the next one of the same start."""
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
    """Return the steps of those that have one."""
    return [each.step for each in checkpoints if each.step is not None]
