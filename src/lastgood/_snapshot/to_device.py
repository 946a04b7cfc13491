"""Copies from host to device: new values of variables, read into the tensor or into memory that it takes over."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .staging import private_map

Read = Callable[[npt.NDArray[np.uint8]], None]
"""Fills the memory that it is given with a variable's bytes."""

ReadBox = Callable[[tuple[slice, ...]], npt.NDArray[Any]]
"""Returns a part of a variable's value: what is between two positions along each axis."""

_ALIGNED = 64  # jax and TensorFlow require it of memory that they take over
_LARGE = 1024 * 1024


def fill(variable: Any, tensor: Any, dtype: str, read: Read, backend: str) -> None:
    """Set a Keras variable to the value that ``read`` reads.

    Args:
        variable: The variable; not empty.
        tensor: The backend's tensor for it.
        dtype: The name of its type.
        read: Reads its value.
        backend: Its backend: ``jax``, ``torch`` or ``tensorflow``.
    """
    tensors = importlib.import_module(f"{__package__}.on_{backend}")
    live = tensors.live_bytes(tensor)
    if live is not None:
        read(live)
        return
    tensors.hand_over(variable, _read_array(tuple(variable.shape), dtype, read))


def new_tensor(shape: tuple[int, ...], dtype: str, read: Read, backend: str) -> Any:
    """Return a new tensor of the backend in host memory, with the value that ``read`` reads.

    Args:
        shape: Its shape; not empty.
        dtype: The name of its type.
        read: Reads its value.
        backend: The backend: ``jax``, ``torch`` or ``tensorflow``.
    """
    tensors = importlib.import_module(f"{__package__}.on_{backend}")
    return tensors.taken_over(_read_array(shape, dtype, read))


def _read_array(shape: tuple[int, ...], dtype: str, read: Read) -> npt.NDArray[Any]:
    """Return a new array that nothing else uses, aligned as backends require of memory that they take over."""
    memory = _new_memory(np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
    read(memory)
    return np.ndarray(shape, np.dtype(dtype), memory.data)


def fill_by_part(variable: Any, read: ReadBox, backend: str) -> None:
    """Set a Keras variable to a value of which each process reads no more than its devices need.

    Args:
        variable: The variable.
        read: Reads a part of its value; slices may lack a start and a stop.
        backend: Its backend: ``jax``, ``torch`` or ``tensorflow``.
    """
    if backend == "jax":
        importlib.import_module(f"{__package__}.on_jax").assign_by_part(variable, read)
    else:
        variable.assign(read((slice(None),) * len(variable.shape)))


def _new_memory(size: int) -> npt.NDArray[np.uint8]:
    """Return new memory, in small pages if it is large.

    NumPy would ask for huge pages. A virtual machine gives those back to its host when they are free, and to get 1 GB
    of them again took 1.2 s. Small pages that were freed lately are still there: 1 GB took 0.3 s.
    """
    if size >= _LARGE:
        return np.frombuffer(private_map(size), np.uint8)  # begins at a page
    memory = np.empty(size + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + size]
