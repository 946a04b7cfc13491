"""Imports that stock Keras 3 makes but does not need. The names are those of Keras 3.15.1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keep Keras from importing TensorFlow in the block only to check whether an object belongs to it.

    None does if TensorFlow is not imported yet. The import took 469 MB and seconds of the first save on PyTorch.
    """
    try:
        from keras.src.saving import serialization_lib
    except ImportError:
        yield
        return
    keras_own = getattr(serialization_lib, "tf", None)
    if not hasattr(type(keras_own), "available") or isinstance(keras_own, _OnceImported):
        yield  # there is no such name, or another thread has replaced it
        return
    serialization_lib.tf = _OnceImported(keras_own)
    try:
        yield
    finally:
        serialization_lib.tf = keras_own


class _OnceImported:
    """A stand-in for Keras's lazy TensorFlow, available only after other code has imported TensorFlow."""

    def __init__(self, keras_own: Any) -> None:
        self._keras_own = keras_own

    @property
    def available(self) -> bool:
        return "tensorflow" in sys.modules and bool(self._keras_own.available)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keras_own, name)
