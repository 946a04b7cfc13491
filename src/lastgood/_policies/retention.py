"""Which checkpoints to keep: a pure function of their records."""

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
    """What a policy needs to know besides the records.

    Attributes:
        monitor: The metric that determines which checkpoint is best.
        mode: The direction in which the metric improves.
        pinned: For each record, whether the user has pinned its checkpoint.
    """

    monitor: str
    mode: Mode
    pinned: Sequence[bool]


class KeepPolicy(Protocol):
    """A retention policy of your own; pass it as ``keep``."""

    def should_keep(self, records: Sequence[Record], context: Context) -> Sequence[bool]:
        """Return, for each record, whether to keep its checkpoint; the records come in any order."""
        ...


@dataclass(frozen=True)
class Retention:
    """Which checkpoints to keep: those that any rule keeps, and always the best, the latest and the pinned ones.

    Attributes:
        keep_last: How many checkpoints of the highest steps.
        keep_best: How many of the best checkpoints by the monitored metric; while fewer have it, the latest fill up.
        keep_every: The first at or after each multiple of this many steps, or the first in each such span of time.
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
            ArgumentError: A value is not a whole number above 0, or, for ``keep_every``, a span of time above 0; or
                ``keep`` has no method ``should_keep``.
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
        """Whether any rule is set, so that checkpoints may be deleted."""
        return any(each is not None for each in (self.keep_last, self.keep_best, self.keep_every, self.keep))

    def should_keep(self, records: Sequence[Record], context: Context) -> list[bool]:
        """Return, for each record, whether to keep its checkpoint.

        Args:
            records: The records, in any order.
            context: The monitored metric, and what is pinned.

        Raises:
            ArgumentError: The user's own policy does not answer for each record.
        """
        if not self.prunes:
            return [True] * len(records)
        by_step = sorted(range(len(records)), key=lambda i: (records[i].step, records[i].created))
        kept = set(by_step[-max(self.keep_last or 1, 1) :])
        kept.update(self._best(by_step, records, context))
        kept.update(_first_of_each(by_step, records, self.keep_every))
        if self.keep is not None:
            own = _answer(self.keep, tuple(records), context)
            kept.update(i for i, keeps in enumerate(own) if keeps)
        return [pinned or i in kept for i, pinned in enumerate(context.pinned)]

    def _best(self, by_step: Sequence[int], records: Sequence[Record], context: Context) -> Sequence[int]:
        """Return the indices of the best; of as many as were asked for, those without the metric come last."""
        ranked = dict.fromkeys(_ranked(by_step, records, context))
        if self.keep_best is None:
            return list(ranked)[:1]
        return list(ranked | dict.fromkeys(reversed(by_step)))[: self.keep_best]


def _answer(keep: KeepPolicy, records: Sequence[Record], context: Context) -> Sequence[bool]:
    """Return the answers of the user's own policy.

    Raises:
        ArgumentError: It does not give one answer for each record: a guess could delete checkpoints.
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
    """Return the indices of the records with the metric, the best first; the earlier step comes first in a tie."""
    by_step = sorted(range(len(records)), key=lambda i: (records[i].step, records[i].created))
    return _ranked(by_step, records, Context(monitor, mode, ()))


def _ranked(by_step: Sequence[int], records: Sequence[Record], context: Context) -> list[int]:
    values = {i: records[i].metrics[context.monitor] for i in by_step if context.monitor in records[i].metrics}
    known = [i for i, value in values.items() if is_better(value, None, context.mode)]  # excludes NaN
    return sorted(known, key=lambda i: -values[i] if context.mode == "max" else values[i])


def _first_of_each(by_step: Sequence[int], records: Sequence[Record], every: int | timedelta | None) -> Iterator[int]:
    """Yield the index of the first record in each span; pruning the others does not change which it is."""
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
