"""The arguments of a callback as the journal holds them: plain values, and only the names of objects."""

import inspect
import signal
from datetime import timedelta
from numbers import Real
from typing import Any

from .._policies.schedule import Budget, Epochs
from .._record import number_to_json
from .._resuming import parse_signals
from .settings import Settings


def settings_described(settings: Settings) -> dict[str, Any]:
    """Return the arguments as the journal holds them, without those that were not given.

    They contain no access keys: URLs with keys are refused.
    """
    keep = settings.retention
    return described(
        filepath=settings.template.text,
        format=settings.format.name,
        monitor=settings.monitor,
        mode=settings.mode,
        save_weights_only=settings.format.weights_only,
        options=settings.options,
        background=settings.background,
        keep_last=keep.keep_last,
        keep_best=keep.keep_best,
        keep_every=keep.keep_every,
        keep=keep.keep,
        on_error=settings.on_error,
        on_save=settings.on_save,
        mirror=settings.mirror,
        signals=_names(settings.signals),
    )


def described(**values: Any) -> dict[str, Any]:
    """Return arguments as plain values, without those that are None; objects become the name of a class or function."""
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> str | float:
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, Real):  # including NumPy's
        return number_to_json(float(value))
    if isinstance(value, timedelta):
        return str(value)
    if type(value) in (Epochs, Budget):
        return repr(value)
    named: Any = value if inspect.isroutine(value) else type(value)
    return str(named.__qualname__)


def _names(signals: tuple[int, ...]) -> str | None:
    """Return the names of signals; None for the default ones."""
    names = [signal.Signals(number).name for number in signals]
    return ", ".join(names) if signals != parse_signals(None) else None
