"""Loading from a directory of arrays in parts: each process reads the parts of which its devices need something."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._bytes.zarr_layout import SplitArray
from .._keras import ModelAdapter
from .._keras.state_tree import variables_by_path
from .._snapshot.to_device import ReadBox, fill_by_part
from .._storage import Location
from .._threads import cores, spread

Box = tuple[slice, ...]
"""A part of an array: where it begins and ends along each axis."""


def fill(adapter: ModelAdapter, at: Location, arrays: Mapping[str, SplitArray]) -> None:
    """Assign to the model's variables the arrays of a directory that was verified.

    Args:
        adapter: The model.
        at: The directory.
        arrays: The array for each variable, by the variable's path in the tree; others keep their value.

    Raises:
        OSError: The storage failed.
    """
    chosen = [(variable, arrays[path]) for path, variable in variables_by_path(adapter).items() if path in arrays]
    backend = adapter.backend()

    def fill_each(share: Sequence[tuple[Any, SplitArray]]) -> None:
        for variable, array in share:
            fill_by_part(variable, _reader(at, array), backend)

    spread(fill_each, chosen, cores())


def _reader(at: Location, array: SplitArray) -> ReadBox:
    """Return a function that returns any box of an array."""

    def read(box: Box) -> npt.NDArray[Any]:
        box = tuple(slice(*each.indices(length)) for each, length in zip(box, array.shape, strict=True))
        found = np.empty([each.stop - each.start for each in box], np.dtype(array.dtype))
        for starts in itertools.product(*map(_overlapping, box, array.part)):
            whole = tuple(slice(start, start + length) for start, length in zip(starts, array.part, strict=True))
            part = _read_part(at, array, starts)
            both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, whole, strict=True))
            found[_within(both, box)] = part[_within(both, whole)]
        return found

    return read


def _overlapping(along: slice, length: int) -> range:
    """Return where the parts begin that overlap with a range along one axis."""
    return range(along.start // length * length, along.stop, length)


def _within(box: Box, outer: Box) -> Box:
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))


def _read_part(at: Location, array: SplitArray, starts: Sequence[int]) -> npt.NDArray[Any]:
    part = np.empty(array.part, np.dtype(array.dtype))
    with (at / array.file(starts)).open() as file:
        file.read_into(part.reshape(-1).view(np.uint8), 0)
    return part
