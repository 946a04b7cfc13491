"""Copies from device to host and back: the staging buffer, and faster ways than NumPy's for each backend."""

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .copying import Copied, copy_arrays


class Copy(Protocol):
    """Copies tensors into host arrays."""

    def __call__(
        self, tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]], copied: Copied | None = None
    ) -> None:
        """Copy each tensor to its destination.

        Args:
            tensors: The tensors; NumPy arrays may be among them.
            destinations: An array for each tensor, with its shape and item size; of an integer type if NumPy has no
                name for the tensor's type.
            copied: Called now and then with the number copied so far; when this returns, all are.
        """
        ...


def copier(backend: str) -> Copy:
    """Return the function that copies a backend's tensors into host arrays; all are copied when it returns.

    Args:
        backend: ``jax``, ``torch`` or ``tensorflow``; for any other, NumPy converts the tensors.

    """
    if backend not in ("jax", "torch", "tensorflow"):
        return _copy_by_numpy
    copy: Copy = importlib.import_module(f"{__name__}.on_{backend}").copy
    return copy


def _copy_by_numpy(
    tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]], copied: Copied | None = None
) -> None:
    """Copy objects that NumPy can convert to arrays."""
    copy_arrays(map(np.asarray, tensors), destinations, copied)
