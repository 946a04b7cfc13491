"""The distribution of a model's variables over devices of several processes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


def span_processes(tensors: Iterable[Any]) -> bool:
    """Return True if one of the JAX tensors has a part or a copy on a device of another process."""
    return any(not getattr(tensor, "is_fully_addressable", True) for tensor in tensors)


def is_split(tensor: Any) -> bool:
    """Return True if this process lacks a part of a tensor because only other processes have it."""
    return not getattr(tensor, "is_fully_addressable", True) and not tensor.is_fully_replicated


def are_distributed() -> bool:
    """Return True if Keras, or a strategy of TensorFlow, distributes the variables that are created now."""
    if keras.distribution.distribution() is not None:
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.distribute.has_strategy())


@contextmanager
def undistributed() -> Iterator[None]:
    """Make Keras create variables for this process alone in the block."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
