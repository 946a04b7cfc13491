"""Checks of a training state that was read from a file, before any of it is used."""

from typing import Any

import numpy as np

from . import randomness
from .origin import Origin, is_count

_COUNTS = ("epoch", "batch", "steps_at_once")
_HOOKS = ("epoch", "batch", "validation")


def check(state: Any) -> None:
    """Check the tree of a training state.

    Raises:
        ValueError: Neither ``fit`` nor a loop of the user's own could continue from it.
    """
    try:
        _check_variables(state["variables"])
        _check_variables(state["metrics"])
        _check_variables(state.get("unlisted", []))
        _check_variables(state.get("replica", []))
        _check_optimizers(state.get("optimizers", {}))
        randomness.check(state["randomness"])
        if "position" in state:
            _check_position(state["position"])
            _check_fit(state)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an entry is missing or has the wrong type: {error!r}") from error


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"invalid value for {what}")


def _check_variables(saved: Any) -> None:
    _demand(isinstance(saved, list), "the list of variables")
    for entry in saved:
        _demand(isinstance(entry["path"], str) and isinstance(entry["value"], np.ndarray | np.generic), "a variable")


def _check_optimizers(saved: Any) -> None:
    _demand(isinstance(saved, dict), "the list of optimizers")
    for places in saved.values():
        sound = isinstance(places, np.ndarray) and places.ndim == 1 and places.dtype.kind == "i"
        _demand(sound and bool((places >= 0).all()), "the variables of an optimizer")


def _check_position(position: Any) -> None:
    for name in _COUNTS:
        _demand(is_count(position[name]), f"the {name}")
    _demand(position["steps_at_once"] > 0, "the steps_at_once")
    batches = position.get("batches")
    _demand(batches is None or is_count(batches), "the number of batches")
    origin = Origin.of(position["origin"])
    randomness.check(origin.randomness)
    # Resuming creates all of them again, and an epoch creates no more than one or two.
    _demand(0 <= origin.iterators <= 2 * position["epoch"] + 16, "the number of iterators")


def _check_fit(state: Any) -> None:
    logs, callbacks = state["logs"], state["callbacks"]
    _demand(isinstance(logs, dict) and all(isinstance(v, int | float | np.generic) for v in logs.values()), "the logs")
    _demand(isinstance(callbacks, list) and all(isinstance(c["class"], str) for c in callbacks), "a callback")
    _demand(all("state" in each for each in callbacks), "a callback")
    _demand(isinstance(state["saver"], int) and state["hook"] in _HOOKS, "the hook")
    _demand(isinstance(state["stopped"], bool), "the stop flag")
