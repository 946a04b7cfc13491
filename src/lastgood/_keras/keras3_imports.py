"""What stock Keras 3 imports and has no use for. Read from Keras 3.15.1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Have Keras not import TensorFlow in the block: to find out whether what it serializes is an object of it.

    Where nobody has imported TensorFlow, nothing is. The import took 469 MB and seconds of the first save on torch.
    """
    try:
        from keras.src.saving import serialization_lib
    except ImportError:
        yield
        return
    keras_own = getattr(serialization_lib, "tf", None)
    if not hasattr(type(keras_own), "available") or isinstance(keras_own, _OnceImported):
        yield  # there is no such name, or another thread has seen to it
        return
    serialization_lib.tf = _OnceImported(keras_own)
    try:
        yield
    finally:
        serialization_lib.tf = keras_own


class _OnceImported:
    """Keras's own name for TensorFlow, which is there as soon as somebody else has imported it."""

    def __init__(self, keras_own: Any) -> None:
        self._keras_own = keras_own

    @property
    def available(self) -> bool:
        return "tensorflow" in sys.modules and bool(self._keras_own.available)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keras_own, name)
