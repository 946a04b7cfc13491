"""Checks of values from a journal, which may contain anything, and formatting for people."""

import time
from collections.abc import Mapping
from typing import Any

_MOST = 1 << 63
_END_OF_TIME = 253_402_300_800  # the year 10000, which calendars cannot show
_LONGEST = 300
_MOST_FACTS = 200


def count(value: Any) -> int:
    """Return a count that can be drawn and printed.

    Raises:
        ValueError: The value is not such a count.
    """
    if not 0 <= (found := int(value)) < _MOST:
        raise ValueError(f"{value!r} is not a count")
    return found


def seconds(value: Any) -> float:
    """Return a time or duration that can be drawn and printed. See :func:`count`."""
    if not 0 <= (found := float(value)) < _END_OF_TIME:
        raise ValueError(f"{value!r} is not a time")
    return found


def facts(values: Any) -> dict[str, str]:
    """Return the plain values of a mapping as readable text, by name; empty if it is not a mapping."""
    if not isinstance(values, Mapping):
        return {}
    plain = [(name, value) for name, value in values.items() if isinstance(value, str | bool | int | float)]
    return {str(name)[:_LONGEST]: _shown(value) for name, value in plain[:_MOST_FACTS]}


def _shown(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < _MOST else "…"
    return number(value) if isinstance(value, float) else value[:_LONGEST]


def number(value: float | None) -> str:
    """Return a readable number; an empty string for None."""
    return "" if value is None else f"{value:.4g}"


def size(bytes_: float) -> str:
    """Return a readable number of bytes."""
    if bytes_ < 1e6:
        return f"{bytes_ / 1e3:,.1f} kB"
    return f"{bytes_ / 1e6:,.1f} MB" if bytes_ < 1e9 else f"{bytes_ / 1e9:,.2f} GB"


def when(at: float) -> str:
    """Return a readable time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def duration(span: float) -> str:
    """Return a readable duration, given in seconds."""
    if span < 60:
        return f"{span:.2g} s" if span < 10 else f"{span:.0f} s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
