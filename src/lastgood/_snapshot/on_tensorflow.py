"""Tensors of TensorFlow: what a variable's read gives shows its memory to NumPy, where ``.numpy()`` copies it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from .copying import Copied, copy_arrays


def copy(tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]], copied: Copied | None = None) -> None:
    """Copy variables and tensors of TensorFlow into host arrays."""
    copy_arrays((np.asarray(_read(tensor)) for tensor in tensors), destinations, copied)


def _read(tensor: Any) -> Any:
    """Return what a variable holds, by the operation itself: ``read_value()`` takes three times as long."""
    if not isinstance(tensor, tf.Variable):
        return tensor
    try:
        return tf.raw_ops.ReadVariableOp(resource=tensor.handle, dtype=tensor.dtype)
    except (AttributeError, ValueError):  # a variable of a distribution strategy has no one handle
        return tensor.read_value()


def live_bytes(tensor: Any) -> None:
    """Return None: what shares a variable's memory is not known."""
    del tensor


def hand_over(variable: Any, array: npt.NDArray[Any]) -> None:
    """Give a variable a value whose memory nobody else has: through DLPack, TensorFlow does not copy it."""
    try:
        value = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    except (BufferError, AttributeError):  # a type that DLPack has no name for
        value = array
    variable.assign(value)
