"""Schedules: objects that decide at each hook whether a save is due."""

import copy
import operator
import statistics
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from .._errors import ArgumentError
from .._moment import Hook, Moment


class Schedule(ABC):
    """The base class of schedules, which decide when to save.

    Pass an instance of your own as ``save_freq``; any object with a method ``due(moment)`` works, too.

    >>> class AtPowersOfTwo(Schedule):
    ...     def due(self, moment):
    ...         return moment.hook == "batch" and moment.step & (moment.step - 1) == 0

    Attributes:
        hooks: The hooks at which it is asked: ``"batch"``, ``"epoch"``. Without ``"batch"``, it does not slow down
            batches.
        is_the_same_everywhere: Whether it only counts batches or epochs, so that each of several processes that train
            together can ask its own. Otherwise the first of them asks for all.
        is_paced: Whether a save that is due may come a few batches later.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch", "epoch")
    is_the_same_everywhere: ClassVar[bool] = False
    is_paced: ClassVar[bool] = False

    @abstractmethod
    def due(self, moment: Moment) -> bool:
        """Return True if a save is due; called once for each hook, in order."""

    def begin(self, now: float) -> None:  # noqa: B027 - most schedules need not know
        """Note that training, or an epoch, begins; ``now`` is a time of the same clock as :attr:`Moment.at`."""

    def saved(self, started: float, ended: float) -> None:  # noqa: B027
        """Note a save that was due and that held up training from ``started`` until ``ended``."""

    def news(self) -> str | None:
        """Return a message for the user about the schedule, each only once; None if there is nothing new."""
        return None

    def may_come_within(self, batches: int) -> bool:
        """Return False if no save can be due within this many batches, so that its memory can be prepared later."""
        del batches
        return True

    @property
    def kind(self) -> str:
        """The name of the class that the state belongs to: a restart may use another schedule."""
        return _name_of(self)

    def get_state(self) -> Mapping[str, Any]:
        """Return what a restart needs, as plain values."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what :meth:`get_state` returned."""


class Epochs(Schedule):
    """A schedule that saves at the end of every ``every``-th epoch.

    >>> ckpt = ModelCheckpoint("last.keras", save_freq=lastgood.Epochs(5))  # doctest: +SKIP

    Attributes:
        every: The number of epochs between saves.
        since: The number of epochs since a save was last due.

    Raises:
        ArgumentError: A ValueError: ``every`` is not a whole number above 0.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("epoch",)
    is_the_same_everywhere = True

    def __init__(self, every: int = 1) -> None:
        """Start before the first epoch."""
        self.every = whole_number("every", every, "epochs")
        self.since = 0

    def __repr__(self) -> str:
        return f"Epochs({self.every})"

    def due(self, moment: Moment) -> bool:
        """Return True if enough epochs have ended."""
        if moment.hook != "epoch":
            return False
        self.since += 1
        if self.since < self.every:
            return False
        self.since = 0
        return True

    def get_state(self) -> Mapping[str, Any]:
        """Return the epochs since the last save."""
        return {"since": self.since}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`get_state` returned."""
        self.since = state.get("since", self.since)


class Batches(Schedule):
    """A schedule that saves after ``every`` batches or more, counted across epochs and fits from the last save.

    With ``steps_per_execution=K``, hooks are called every K batches.

    Attributes:
        every: The number of batches between saves.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_the_same_everywhere = True

    def __init__(self, every: int) -> None:
        """Start before the first batch."""
        self.every = every
        self._since = 0
        self._epoch: int | None = None
        self._done = 0  # batches in that epoch

    def due(self, moment: Moment) -> bool:
        """Return True if enough batches have ended."""
        if moment.hook != "batch" or moment.batch is None:
            return False
        goes_on = self._epoch in (moment.epoch, None) and moment.batch > self._done
        self._since += moment.batch - self._done if goes_on else moment.batch
        self._epoch, self._done = moment.epoch, moment.batch
        if self._since < self.every:
            return False
        self._since = 0
        return True

    def may_come_within(self, batches: int) -> bool:
        """Return False if the next save is more batches away."""
        return self.every - self._since <= batches

    def begin(self, now: float) -> None:
        """Note that an epoch begins: its batches are counted from zero."""
        del now
        self._done = 0

    def get_state(self) -> Mapping[str, Any]:
        """Return the batches since the last save, and the index of the last batch in its epoch."""
        return {"since_save": self._since, "last": self._done - 1 if self._done else None}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`get_state` returned."""
        last = state["last"]
        self._since, self._epoch, self._done = state["since_save"], None, 0 if last is None else last + 1


class Interval(Schedule):
    """A schedule that saves at the first batch that ends after a span of time.

    Attributes:
        seconds: The time between saves.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_paced = True

    def __init__(self, span: timedelta) -> None:
        """Start before training begins."""
        self.seconds = span.total_seconds()
        self._last: float | None = None

    def may_come_within(self, batches: int) -> bool:
        """Return False: it does not count batches."""
        del batches
        return False

    def begin(self, now: float) -> None:
        """Measure the time from here, unless there was a save before."""
        if self._last is None:
            self._last = now

    def due(self, moment: Moment) -> bool:
        """Return True if the time has passed."""
        return moment.hook == "batch" and moment.at - (self._last or 0.0) >= self.seconds

    def saved(self, started: float, ended: float) -> None:
        """Measure the time from the end of a save."""
        del started
        self._last = ended


_TO_BEGIN_WITH = 10  # batches, the first of which compile and warm up
_REMEMBERED = 100


class Budget(Schedule):
    """A schedule that limits saves to a share of training time: it measures their cost, and chooses the interval.

    >>> ckpt = ModelCheckpoint("last.keras", save_freq=lastgood.Budget(overhead=0.01))  # doctest: +SKIP

    Attributes:
        overhead: The share, above 0 and below 1; 0.01 is one percent.

    Raises:
        ArgumentError: A ValueError: the share is not between 0 and 1.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_paced = True

    def __init__(self, overhead: float = 0.01) -> None:
        """Start before the first batch."""
        if isinstance(overhead, bool) or not 0 < overhead < 1:
            raise ArgumentError(f"Unrecognized overhead: {overhead!r}. Expected a share such as 0.01.")
        self.overhead = overhead
        self._batches: deque[float] = deque(maxlen=_REMEMBERED)  # durations of batches during which nothing was saved
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen = 0
        self._before: float | None = None
        self._last_save: float | None = None
        self._said: float | None = None  # the interval of the last news

    def __repr__(self) -> str:
        return f"Budget(overhead={self.overhead!r})"

    def may_come_within(self, batches: int) -> bool:
        """Return False for fewer batches than are measured before the first save."""
        return batches >= _TO_BEGIN_WITH

    def begin(self, now: float) -> None:
        """Note that training, or an epoch, begins: the time until its first batch ends says nothing about batches."""
        self._before = None
        if self._last_save is None:
            self._last_save = now

    def due(self, moment: Moment) -> bool:
        """Note the end of a batch, and return True if the interval has passed."""
        if moment.hook != "batch":
            return False
        self._note(moment.at, saving=moment.saving)
        interval = self.interval
        if interval is None:
            return self._seen >= _TO_BEGIN_WITH
        return moment.at - (self._last_save or 0.0) >= interval

    def _note(self, now: float, *, saving: bool) -> None:
        """Note a batch; if a save is being written, the additional time of the batch counts as a cost of that save."""
        self._seen += 1
        if self._before is not None:
            took = now - self._before
            if not saving:
                self._batches.append(took)
            elif self._costs and self._batches:
                self._costs[-1] += max(0.0, took - statistics.median(self._batches))
        self._before = now

    def saved(self, started: float, ended: float) -> None:
        """Note what a save cost."""
        self._costs.append(ended - started)
        self._last_save = self._before = ended

    @property
    def cost(self) -> float | None:
        """Seconds that a save costs training; None before the first."""
        return statistics.median(self._costs) if self._costs else None

    @property
    def interval(self) -> float | None:
        """Seconds between saves; None until the cost of a save is known."""
        return None if self.cost is None else self.cost / self.overhead

    def news(self) -> str | None:
        """Return a message about the interval, if it is new or has changed by a factor of two."""
        interval, cost = self.interval, self.cost
        if interval is None or cost is None or (self._said is not None and 0.5 < interval / self._said < 2):
            return None
        self._said = interval
        return (
            f"a save costs training {cost:.3f} s, so saves are {interval:.1f} s apart, to cost "
            f"{100 * self.overhead:g} % of training time; a crash loses at most one interval of training"
        )


class _Foreign(Schedule):
    """An adapter for an object that is not a :class:`Schedule` but has a method ``due``."""

    def __init__(self, schedule: Any) -> None:
        self._schedule = schedule
        if hasattr(schedule, "hooks"):
            self.hooks = schedule.hooks  # type: ignore[misc] # the object's own hooks

    @property
    def kind(self) -> str:
        return _name_of(self._schedule)

    def due(self, moment: Moment) -> bool:
        return bool(self._schedule.due(moment))

    def begin(self, now: float) -> None:
        self._call("begin", now)

    def saved(self, started: float, ended: float) -> None:
        self._call("saved", started, ended)

    def news(self) -> str | None:
        text: str | None = self._call("news")
        return text

    def get_state(self) -> Mapping[str, Any]:
        return self._call("get_state") or {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._call("set_state", state)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a method, if the object has it."""
        method = getattr(self._schedule, name, None)
        return None if method is None else method(*arguments)


def parse_schedule(value: Any, period: int = 1) -> Schedule:
    """Return the schedule that ``save_freq`` stands for.

    Args:
        value: What the user passed as ``save_freq``; an integer of any kind (NumPy's too) counts batches.
        period: Epochs between saves, if ``value`` is ``"epoch"``.

    Raises:
        ArgumentError: It does not say when to save.
    """
    if isinstance(value, str) and value == "epoch":
        return Epochs(period)
    if isinstance(value, Schedule):
        try:
            return copy.deepcopy(value)  # two callbacks may share one, and each counts for itself
        except TypeError:  # a user's schedule that holds a lock or the like
            return value
    if callable(getattr(value, "due", None)) and not isinstance(value, type):
        return _Foreign(value)
    if isinstance(value, timedelta) and value > timedelta():
        return Interval(value)
    batches = _positive_integer(value)
    if batches is None:
        raise ArgumentError(
            f"Unrecognized save_freq: {value!r}. Expected 'epoch', a whole number of batches above 0, a timedelta "
            "above 0, a lastgood.Epochs or lastgood.Budget, or an object with a method due(moment)."
        )
    return Batches(batches)


def _name_of(schedule: Any) -> str:
    return f"{type(schedule).__module__}.{type(schedule).__qualname__}"


def whole_number(name: str, value: Any, unit: str) -> int:
    """Return an argument that is a whole number above 0.

    Raises:
        ArgumentError: It is not a whole number above 0.
    """
    number = _positive_integer(value)
    if number is None:
        raise ArgumentError(f"Unrecognized {name}: {value!r}. Expected a whole number of {unit} above 0.")
    return number


def _positive_integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if number > 0 else None
