"""Tensors of TensorFlow: NumPy can view the memory of a value read from a variable, which ``.numpy()`` copies."""

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
    """Return the value of a variable, by the raw operation: ``read_value()`` takes three times as long."""
    if not isinstance(tensor, tf.Variable):
        return tensor
    try:
        return tf.raw_ops.ReadVariableOp(resource=tensor.handle, dtype=tensor.dtype)
    except (AttributeError, ValueError):  # a variable of a distribution strategy has no single handle
        return tensor.read_value()


def live_bytes(tensor: Any) -> None:
    """Return None: it is unknown what else uses a variable's memory."""
    del tensor


def taken_over(array: npt.NDArray[Any]) -> Any:
    """Return the value of an array whose memory nothing else uses, through DLPack, so that it is not copied."""
    try:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    except (BufferError, AttributeError):  # a type that DLPack has no name for
        return tf.constant(array)


def hand_over(variable: Any, array: npt.NDArray[Any]) -> None:
    """Assign the value of an array whose memory nothing else uses."""
    variable.assign(taken_over(array))
