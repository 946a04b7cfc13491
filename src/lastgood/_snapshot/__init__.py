"""Device → host at one step, and back: the staging buffer, and what each backend does better than NumPy would."""

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
            tensors: The tensors; NumPy arrays may stand among them.
            destinations: Each has its tensor's shape and its width a number, and is of an integer type where NumPy has
                no name for the tensor's type.
            copied: Told how many have been copied, now and then; at the end all are.
        """
        ...


def copier(backend: str) -> Copy:
    """Return the function that copies a backend's tensors into host arrays, all of them as they are at its return.

    Args:
        backend: ``jax``, ``torch`` or ``tensorflow``; any other is asked through NumPy's own protocol.

    """
    if backend not in ("jax", "torch", "tensorflow"):
        return _copy_by_numpy
    copy: Copy = importlib.import_module(f"{__name__}.on_{backend}").copy
    return copy


def _copy_by_numpy(
    tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]], copied: Copied | None = None
) -> None:
    """Copy whatever NumPy can make an array of."""
    copy_arrays(map(np.asarray, tensors), destinations, copied)
