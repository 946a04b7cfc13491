"""Tensors of PyTorch in a training state, such as those of an optimizer of ``torch.optim``; torch is not imported here.

Where nothing has imported torch, there are no such tensors, and those in a checkpoint are read as NumPy arrays.
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

# Types that NumPy does not have, and those of torch whose numbers have as many bytes.
_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def described(value: Any) -> tuple[Any, tuple[int, ...], str] | None:
    """Return a tensor without its history, its shape and the name of its type; None if it cannot be saved as an array.

    Args:
        value: Anything.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return None
    name = str(value.dtype).removeprefix("torch.")
    return (value.detach(), tuple(value.shape), name) if name in _BITS or hasattr(np, name) else None


def made(array: npt.NDArray[Any]) -> Any:
    """Return an array as a tensor in host memory that shares its memory; as it is where torch is not in use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return array
    bits = _BITS.get(array.dtype.name)
    if bits is None:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(bits)).view(getattr(torch, array.dtype.name))
