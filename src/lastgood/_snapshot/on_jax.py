"""Tensors of jax: on the CPU NumPy sees them without a copy, from a device they are fetched side by side."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from .copying import copy_arrays


def copy(tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]]) -> None:
    """Copy arrays of jax into host arrays.

    A view of an array of jax is dropped here, before the next step: as long as it lives, that step cannot have the
    array's memory, and has to take new.
    """
    if jax.default_backend() != "cpu":
        for tensor in tensors:
            if isinstance(tensor, jax.Array):
                tensor.copy_to_host_async()
    copy_arrays(map(np.asarray, tensors), destinations)


def live_bytes(tensor: Any) -> None:
    """Return None: jax never writes to a tensor that there is."""
    del tensor


def hand_over(variable: Any, array: npt.NDArray[Any]) -> None:
    """Give a variable a value whose memory nobody else has: jax need not copy it."""
    variable.assign(jax.device_put(array))
