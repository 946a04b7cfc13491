"""Reads boxes of arrays that are stored in parts: only the parts that a box overlaps with."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._storage import Location
from .zarr_layout import SplitArray

Box = tuple[slice, ...]
"""A part of an array: where it begins and ends along each axis; a slice may lack its start and stop."""

_NO_NAME = {"bfloat16": "u2", "float8_e4m3fn": "u1", "float8_e5m2": "u1"}


def read(at: Location, array: SplitArray, box: Box | None = None) -> npt.NDArray[Any]:
    """Return a box of an array, or all of it; integers stand for a type that NumPy does not have.

    Args:
        at: The directory.
        array: The array.
        box: The box.

    Raises:
        OSError: The storage failed.
    """
    wanted = box or (slice(None),) * len(array.shape)
    wanted = tuple(slice(*each.indices(length)[:2]) for each, length in zip(wanted, array.shape, strict=True))
    found = np.empty([each.stop - each.start for each in wanted], _NO_NAME.get(array.dtype, array.dtype))
    for starts in itertools.product(*map(_overlapping, wanted, array.part)):
        whole = tuple(slice(start, start + length) for start, length in zip(starts, array.part, strict=True))
        both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(wanted, whole, strict=True))
        part = _read_part(at, array, starts, found.dtype)
        found[_within(both, wanted)] = part[_within(both, whole)]
    return found


def _overlapping(along: slice, length: int) -> range:
    """Return where the parts begin that overlap with a range along one axis."""
    return range(along.start // length * length, along.stop, length)


def _within(box: Box, outer: Box) -> Box:
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))


def _read_part(at: Location, array: SplitArray, starts: Sequence[int], dtype: "np.dtype[Any]") -> npt.NDArray[Any]:
    part = np.empty(array.part, dtype)
    with (at / array.file(starts)).open() as file:
        file.read_into(part.reshape(-1).view(np.uint8), 0)
    return part
