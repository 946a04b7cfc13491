"""Tensors of torch: on the CPU, NumPy views them without a copy; a GPU writes directly into the staging buffer.

A view of a CPU tensor is live, since optimizers write in place, so it is copied at once.
"""

import contextlib
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import staging
from .copying import Copied, copy_arrays

_CUDA: Any = torch.cuda  # its runtime has no type annotations
# Types that NumPy has no name for, and integers of the same size.
_BITS = {torch.bfloat16: torch.uint16, torch.float8_e4m3fn: torch.uint8, torch.float8_e5m2: torch.uint8}


def copy(tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]], copied: Copied | None = None) -> None:
    """Copy torch tensors into host arrays; copies from GPUs do not wait for each other."""
    pairs = [(_bits(tensor), destination) for tensor, destination in zip(tensors, destinations, strict=True)]
    on_gpu = [_is_on_gpu(source) for source, _ in pairs]
    for source, destination in itertools.compress(pairs, on_gpu):
        torch.from_numpy(destination).copy_(source, non_blocking=True)
    here = list(itertools.compress(pairs, map(operator.not_, on_gpu)))
    told = None if any(on_gpu) else copied  # with some copies in flight, the count of the others is not that of all
    copy_arrays((_array(source) for source, _ in here), [destination for _, destination in here], told)
    for device in {source.device for source, _ in itertools.compress(pairs, on_gpu)}:
        torch.cuda.synchronize(device)


def _bits(tensor: Any) -> Any:
    """Return a tensor without its history, and as integers if NumPy has no name for its type."""
    if isinstance(tensor, np.ndarray):
        return tensor
    source = tensor.detach()
    bits = _BITS.get(source.dtype)
    return source if bits is None else source.view(bits)


def _is_on_gpu(source: Any) -> bool:
    return isinstance(source, torch.Tensor) and source.device.type == "cuda"


def _array(source: Any) -> Any:
    return source if isinstance(source, np.ndarray) else source.cpu().numpy()


def live_bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8] | None:
    """Return a tensor's own memory, to be written to; None if it is not contiguous in host memory."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous() or not tensor.numel():
        return None
    memory: npt.NDArray[np.uint8] = tensor.detach().reshape(-1).view(torch.uint8).numpy()
    return memory


def taken_over(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return a tensor in the memory of an array that nothing else uses."""
    named = {str(dtype).rpartition(".")[2]: dtype for dtype in _BITS}.get(array.dtype.name)
    if named is None:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(f"u{array.itemsize}")).view(named)


def hand_over(variable: Any, array: npt.NDArray[Any]) -> None:
    """Assign a value to a variable."""
    variable.assign(array)


class _Cuda:
    """Page-locking of the staging buffer, so that GPUs write to it directly; saving works without it if refused."""

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        with contextlib.suppress(RuntimeError):
            _CUDA.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        with contextlib.suppress(RuntimeError):
            _CUDA.cudart().cudaHostUnregister(memory.ctypes.data)


if torch.cuda.is_available():
    staging.pin_with(_Cuda())
