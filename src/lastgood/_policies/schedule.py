"""When to save: objects that are asked at each hook whether a save is due."""

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
    """Decides when to save.

    Pass an instance of your own as ``save_freq``; whatever has a method ``due(moment)`` will do.

    >>> class AtPowersOfTwo(Schedule):
    ...     def due(self, moment):
    ...         return moment.hook == "batch" and moment.step & (moment.step - 1) == 0

    Attributes:
        hooks: The hooks at which it wants to be asked: ``"batch"``, ``"epoch"``. One that does not ask for batches
            costs them nothing.
        is_the_same_everywhere: Whether it counts batches or epochs alone, so that each of several processes that train
            together may ask its own. Else the first of them asks for all.
        is_paced: Whether a save that is due may as well come a few batches later.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch", "epoch")
    is_the_same_everywhere: ClassVar[bool] = False
    is_paced: ClassVar[bool] = False

    @abstractmethod
    def due(self, moment: Moment) -> bool:
        """Return True if a save is due; called once for each hook, in order."""

    def begin(self, now: float) -> None:  # noqa: B027 - most need not know
        """Note that training, or an epoch, begins; ``now`` is of the clock of :attr:`Moment.at`."""

    def saved(self, started: float, ended: float) -> None:  # noqa: B027
        """Note a save that was due and that held up training from ``started`` until ``ended``."""

    def news(self) -> str | None:
        """Return what the user should know about the schedule by now, once; None if there is nothing new."""
        return None

    def may_come_within(self, batches: int) -> bool:
        """Return False if no save is due within so many batches: the memory for it need not be there before them."""
        del batches
        return True

    @property
    def kind(self) -> str:
        """The name of the class whose state this is: a restart may come with another schedule."""
        return _name_of(self)

    def get_state(self) -> Mapping[str, Any]:
        """Return what a restart needs: plain values."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what :meth:`get_state` returned."""


class Epochs(Schedule):
    """Saves at the end of every ``every``-th epoch.

    >>> ckpt = ModelCheckpoint("last.keras", save_freq=lastgood.Epochs(5))  # doctest: +SKIP

    Attributes:
        every: The number of epochs between saves.
        since: Epochs that have ended since the last save that was due.

    Raises:
        ArgumentError: A ValueError: ``every`` is no whole number above 0.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("epoch",)
    is_the_same_everywhere = True

    def __init__(self, every: int = 1) -> None:
        """Begin without having seen an epoch."""
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
    """Saves after every ``every`` batches or more, counted across epochs and fits; then the count starts at zero.

    With ``steps_per_execution=K`` hooks come every K batches.

    Attributes:
        every: The number of batches between saves.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_the_same_everywhere = True

    def __init__(self, every: int) -> None:
        """Begin without having seen a batch."""
        self.every = every
        self._since = 0
        self._epoch: int | None = None
        self._done = 0  # batches of that epoch

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
        """Return False if more batches lie between saves."""
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
    """Saves at the first batch that ends after a span of time.

    Attributes:
        seconds: The time between saves.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_paced = True

    def __init__(self, span: timedelta) -> None:
        """Begin before training has begun."""
        self.seconds = span.total_seconds()
        self._last: float | None = None

    def may_come_within(self, batches: int) -> bool:
        """Return False: batches are not what it counts."""
        del batches
        return False

    def begin(self, now: float) -> None:
        """Count from here, if there was no save before."""
        if self._last is None:
            self._last = now

    def due(self, moment: Moment) -> bool:
        """Return True if the time has passed."""
        return moment.hook == "batch" and moment.at - (self._last or 0.0) >= self.seconds

    def saved(self, started: float, ended: float) -> None:
        """Count from the end of a save."""
        del started
        self._last = ended


_TO_BEGIN_WITH = 10  # batches, the first of which compile and warm up
_REMEMBERED = 100


class Budget(Schedule):
    """Has checkpoints cost at most a share of training time: it measures what saves cost, and chooses the interval.

    >>> ckpt = ModelCheckpoint("last.keras", save_freq=lastgood.Budget(overhead=0.01))  # doctest: +SKIP

    Attributes:
        overhead: The share, above 0 and below 1; 0.01 is one percent.

    Raises:
        ArgumentError: A ValueError: the share is not between 0 and 1.
    """

    hooks: ClassVar[tuple[Hook, ...]] = ("batch",)
    is_paced = True

    def __init__(self, overhead: float = 0.01) -> None:
        """Begin without having seen a batch."""
        if isinstance(overhead, bool) or not 0 < overhead < 1:
            raise ArgumentError(f"Unrecognized overhead: {overhead!r}. Expected a share such as 0.01.")
        self.overhead = overhead
        self._batches: deque[float] = deque(maxlen=_REMEMBERED)  # how long those took beside which nothing was saved
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen = 0
        self._before: float | None = None
        self._last_save: float | None = None
        self._said: float | None = None  # the interval of the last news

    def __repr__(self) -> str:
        return f"Budget(overhead={self.overhead!r})"

    def may_come_within(self, batches: int) -> bool:
        """Return False for fewer batches than it measures first."""
        return batches >= _TO_BEGIN_WITH

    def begin(self, now: float) -> None:
        """Note that training, or an epoch, begins: the time until its first batch says nothing about batches."""
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
        """Note a batch; what it took longer beside a save that is being written is part of that save's cost."""
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
        """Seconds between saves; None while nothing is known to choose them by."""
        return None if self.cost is None else self.cost / self.overhead

    def news(self) -> str | None:
        """Return the interval in words, when it has changed by a factor of two."""
        interval, cost = self.interval, self.cost
        if interval is None or cost is None or (self._said is not None and 0.5 < interval / self._said < 2):
            return None
        self._said = interval
        return (
            f"a save costs training {cost:.3f} s, so saves are {interval:.1f} s apart, to cost "
            f"{100 * self.overhead:g} % of it; a crash loses that much training at most"
        )


class _Foreign(Schedule):
    """An object that is no :class:`Schedule`, but has a method ``due``."""

    def __init__(self, schedule: Any) -> None:
        self._schedule = schedule
        if hasattr(schedule, "hooks"):
            self.hooks = schedule.hooks  # type: ignore[misc] # one of its own

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
        """Call a method, if there is one."""
        method = getattr(self._schedule, name, None)
        return None if method is None else method(*arguments)


def parse_schedule(value: Any, period: int = 1) -> Schedule:
    """Return when to save, as the user said it.

    Args:
        value: What the user passed as ``save_freq``; an integer of any kind (NumPy's too) counts batches.
        period: Epochs between saves, where ``value`` is ``"epoch"``.

    Raises:
        ArgumentError: It is nothing that says when to save.
    """
    if isinstance(value, str) and value == "epoch":
        return Epochs(period)
    if isinstance(value, Schedule):
        try:
            return copy.deepcopy(value)  # two callbacks may get the same one, and each counts for itself
        except TypeError:  # one of the user's that holds a lock or the like
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
    """Return a number of things.

    Raises:
        ArgumentError: It is no whole number above zero.
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
