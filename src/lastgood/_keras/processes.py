"""Whether a model's variables lie on devices of several processes, and how."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


def span_processes(tensors: Iterable[Any]) -> bool:
    """Return True if one of the tensors of jax has a part, or a copy, on a device of another process."""
    return any(not getattr(tensor, "is_fully_addressable", True) for tensor in tensors)


def is_split(tensor: Any) -> bool:
    """Return True if this process has not all of a tensor: another one has a part of it."""
    return not getattr(tensor, "is_fully_addressable", True) and not tensor.is_fully_replicated


@contextmanager
def undistributed() -> Iterator[None]:
    """Have Keras make variables for this process alone in the block."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
