"""The callback classes of each generation of Keras, without importing a Keras that is not in use."""

import importlib
import sys
from typing import Any

from .adapter import Generation


def callback_classes(name: str) -> tuple[Any, ...]:
    """Return the callback classes called ``name``, from each Keras that has been imported."""
    loaded = [sys.modules[package] for package in ("keras", "tf_keras") if package in sys.modules]
    found = [getattr(getattr(package, "callbacks", None), name, None) for package in loaded]
    return tuple(each for each in found if isinstance(each, type))


def as_callback(hooks: type, generation: Generation) -> Any:
    """Return a callback class of a Keras generation that has the given hooks."""
    base = importlib.import_module(generation).callbacks.Callback
    return type(hooks.__name__, (hooks, base), {"__module__": hooks.__module__})
