"""Which checkpoints survive: a pure function of their records."""

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from .._errors import ArgumentError
from .._record import Record
from .monitor import Mode, is_better


@dataclass(frozen=True)
class Context:
    """What a policy has to know beside the records.

    Attributes:
        monitor: The metric that says which is best.
        mode: The way in which it improves.
        pinned: For each record, whether the user has pinned its checkpoint.
    """

    monitor: str
    mode: Mode
    pinned: Sequence[bool]


class KeepPolicy(Protocol):
    """A policy of your own: pass it as ``keep``."""

    def should_keep(self, records: Sequence[Record], context: Context) -> Sequence[bool]:
        """Tell, for each record, whether its checkpoint survives; the records come in any order."""
        ...


@dataclass(frozen=True)
class Retention:
    """What to keep; the union of all survives, and the best, the latest and the pinned ones always do.

    Attributes:
        keep_last: How many of the highest steps.
        keep_best: How many of the best by the monitored metric.
        keep_every: The first at or after each multiple of so many steps; or the first of each such span of time.
        keep: The user's own policy.
    """

    keep_last: int | None = None
    keep_best: int | None = None
    keep_every: int | timedelta | None = None
    keep: KeepPolicy | None = None

    @classmethod
    def parse(
        cls, keep_last: Any = None, keep_best: Any = None, keep_every: Any = None, keep: Any = None
    ) -> "Retention":
        """Return the policy that the arguments ask for.

        Raises:
            ArgumentError: One is not a whole number above 0, nor, where it may be, a span of time above 0; or ``keep``
                has no method ``should_keep``.
        """
        if isinstance(keep_every, timedelta):
            if keep_every <= timedelta():
                raise ArgumentError(f"Unrecognized keep_every: {keep_every!r}. Expected a span of time above 0.")
        else:
            keep_every = _count("keep_every", keep_every, " of steps, a timedelta")
        if keep is not None and (isinstance(keep, type) or not callable(getattr(keep, "should_keep", None))):
            raise ArgumentError(
                f"Unrecognized keep: {keep!r}. Expected an object with a method should_keep(records, context)."
            )
        return cls(_count("keep_last", keep_last), _count("keep_best", keep_best), keep_every, keep)

    @property
    def prunes(self) -> bool:
        """Whether there is anything that it does not keep."""
        return any(each is not None for each in (self.keep_last, self.keep_best, self.keep_every, self.keep))

    def should_keep(self, records: Sequence[Record], context: Context) -> list[bool]:
        """Tell, for each record, whether its checkpoint survives.

        Args:
            records: The records, in any order.
            context: What else there is to know.

        Raises:
            ArgumentError: The user's own policy does not answer for each record.
        """
        if not self.prunes:
            return [True] * len(records)
        by_step = sorted(range(len(records)), key=lambda i: (records[i].step, records[i].created))
        kept = set(by_step[-max(self.keep_last or 1, 1) :])
        kept.update(_ranked(by_step, records, context)[: self.keep_best or 1])
        kept.update(_first_of_each(by_step, records, self.keep_every))
        if self.keep is not None:
            own = _answer(self.keep, tuple(records), context)
            kept.update(i for i, keeps in enumerate(own) if keeps)
        return [pinned or i in kept for i, pinned in enumerate(context.pinned)]


def _answer(keep: KeepPolicy, records: Sequence[Record], context: Context) -> Sequence[bool]:
    """Return what the user's own policy says.

    Raises:
        ArgumentError: It is no list of as many answers as there are records: to guess would be to delete.
    """
    answer = keep.should_keep(records, context)
    own = list(answer) if isinstance(answer, Iterable) else []
    if len(own) != len(records):
        got = f"{len(own)} answers" if isinstance(answer, Iterable) else repr(answer)
        raise ArgumentError(
            f"should_keep(records, context) of the policy {keep!r} returned {got} for {len(records)} records. "
            "Expected a list with one answer, true or false, for each record, in their order. Nothing was deleted."
        )
    return own


def rank(records: Sequence[Record], monitor: str, mode: Mode) -> list[int]:
    """Return the places of the records that have the metric, the best first; of equals the earlier step comes first."""
    by_step = sorted(range(len(records)), key=lambda i: (records[i].step, records[i].created))
    return _ranked(by_step, records, Context(monitor, mode, ()))


def _ranked(by_step: Sequence[int], records: Sequence[Record], context: Context) -> list[int]:
    values = {i: records[i].metrics[context.monitor] for i in by_step if context.monitor in records[i].metrics}
    known = [i for i, value in values.items() if is_better(value, None, context.mode)]  # NaN is none
    return sorted(known, key=lambda i: -values[i] if context.mode == "max" else values[i])


def _first_of_each(by_step: Sequence[int], records: Sequence[Record], every: int | timedelta | None) -> Iterator[int]:
    """Yield the first record of each span; which is the first does not change when others are pruned."""
    if every is None:
        return
    span_of = _span_of_time(every) if isinstance(every, timedelta) else _span_of_steps(every)
    seen: set[Hashable] = {None}
    for i in by_step:
        span = span_of(records[i])
        if span not in seen:
            seen.add(span)
            yield i


def _span_of_steps(every: int) -> Callable[[Record], int | None]:
    return lambda record: record.step // every or None  # none before the first multiple


def _span_of_time(every: timedelta) -> Callable[[Record], int]:
    return lambda record: math.floor(record.created / every.total_seconds())


def _count(name: str, value: Any, more: str = "") -> int | None:
    if value is None:
        return None
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ArgumentError(f"Unrecognized {name}: {value!r}. Expected a whole number{more} above 0, or None.")
    return number
