"""The callback: which hook of ``fit`` does what, for each generation of Keras."""

from importlib import import_module
from typing import Any

from .._keras import Generation

_MODULES: dict[Generation, str] = {"keras": "keras3", "tf_keras": "tf_keras2"}


def model_checkpoint(generation: Generation) -> Any:
    """Return the class ``ModelCheckpoint`` for a generation of Keras, which this imports."""
    return import_module(f".{_MODULES[generation]}", __name__).ModelCheckpoint
