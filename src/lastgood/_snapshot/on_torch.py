"""Tensors of torch: on the CPU NumPy sees them without a copy; a GPU writes into the staging buffer by itself.

A view of a CPU tensor is live, since optimizers write in place: it is copied from at once.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import copy_array

_CUDA: Any = torch.cuda  # its runtime has no types


def copy(tensors: Sequence[Any], destinations: Sequence[npt.NDArray[Any]]) -> None:
    """Copy tensors of torch into host arrays; those on GPUs come without a wait between them."""
    devices = set()
    for tensor, destination in zip(tensors, destinations, strict=True):
        if isinstance(tensor, np.ndarray):
            copy_array(tensor, destination)
            continue
        source = tensor.detach()
        if source.dtype == torch.bfloat16:
            source = source.view(torch.uint16)
        if source.device.type == "cuda":
            devices.add(source.device)
            torch.from_numpy(destination).copy_(source, non_blocking=True)
        else:
            copy_array(source.cpu().numpy(), destination)
    for device in devices:
        torch.cuda.synchronize(device)


def pin(memory: npt.NDArray[np.uint8]) -> None:
    """Lock the staging buffer in memory, so that GPUs write to it directly; without one, or if refused, do nothing."""
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            _CUDA.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)


def unpin(memory: npt.NDArray[np.uint8]) -> None:
    """Undo :func:`pin` before the memory goes away."""
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            _CUDA.cudart().cudaHostUnregister(memory.ctypes.data)
