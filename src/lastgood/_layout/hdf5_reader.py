"""The tensors of an HDF5 weights file: where they are. HDF5 is asked for places only; the bytes are read past it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from .._errors import CorruptCheckpointError
from .._storage.positioned import PositionedFile
from .hdf5_layout import GROUP, MARK, TRAINING

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# By the version of a superblock: where it says how many bytes an offset has, and where the file ends.
_SUPERBLOCKS = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}
_SUPERBLOCK = 52


@dataclass(frozen=True)
class StoredArray:
    """One array of the file.

    Attributes:
        dtype: Its type's name, such as ``float32`` or ``bfloat16``.
        shape: Its shape.
        offset: Where its bytes begin in the file.
        length: How many there are; 0 for an empty array.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Contents:
    """What a weights file holds.

    Attributes:
        arrays: The arrays by path, such as ``layers/dense/vars/0``; None for one whose bytes are not in one piece.
        marked: Whether it says that there is a record of ours.
        training: The training state; None if there is none.
    """

    arrays: Mapping[str, StoredArray | None]
    marked: bool
    training: StoredArray | None = None

    @property
    def extents(self) -> list[tuple[int, int]]:
        """Places of all that are in one piece and not empty, the training state among them, by their offsets."""
        found = [*self.arrays.values(), self.training]
        return sorted((array.offset, array.length) for array in found if array and array.length)


def read_contents(file: PositionedFile, start: int, size: int) -> Contents:
    """Return what the HDF5 file holds that lies in ``file``, without reading the arrays.

    Args:
        file: The checkpoint's file, checked if it has digests.
        start: Where the HDF5 file begins in it.
        size: The HDF5 file's length; what comes behind its end may be counted in.

    Raises:
        CorruptCheckpointError: It is no HDF5 file, or one that is damaged.
    """
    try:
        with file.window(start, size) as window, h5py.File(window, "r") as hdf5:
            arrays, own = arrays_of(hdf5, start)
            marked = MARK in hdf5.attrs
    except Exception as error:  # HDF5 has an exception of its own for each thing that can be wrong with its bytes
        raise CorruptCheckpointError(file.path, "its structure", f"HDF5 says: {error}") from error
    found = [*arrays.values(), *own.values()]
    spans = sorted((array.offset, array.offset + array.length) for array in found if array and array.length)
    if any(a[1] > b[0] for a, b in pairwise([*spans, (start + size, start + size)])):
        raise CorruptCheckpointError(file.path, "its structure", "an array lies outside of its place")
    return Contents(arrays, marked, own.get(f"{GROUP}/{TRAINING}"))


def arrays_of(hdf5: h5py.File, start: int = 0) -> tuple[dict[str, StoredArray | None], dict[str, StoredArray | None]]:
    """Return the arrays of an open HDF5 file by path, and those that are ours; the file begins at ``start``."""
    arrays: dict[str, StoredArray | None] = {}
    own: dict[str, StoredArray | None] = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            (own if path.startswith(f"{GROUP}/") else arrays)[path] = _describe(item, start)

    hdf5.visititems(visit)
    return arrays, own


def stated_end(file: PositionedFile, start: int, size: int) -> int | None:
    """Return how long the HDF5 file says that it is, which lies in ``file``; None if that is for HDF5 to find out."""
    head = bytearray(_SUPERBLOCK)
    if size < len(head):
        return None
    file.read_into(head, start)
    bytes_at, end_at = _SUPERBLOCKS.get(head[8], (0, 0))
    if head[:8] != _SIGNATURE or head[bytes_at] != 8:
        return None
    return int.from_bytes(head[end_at : end_at + 8], "little")


def _describe(item: h5py.Dataset, start: int) -> StoredArray | None:
    dtype = item.attrs.get("dtype", item.dtype.name)
    length = int(np.prod(item.shape, dtype=np.int64)) * item.dtype.itemsize
    offset = item.id.get_offset()
    if length and (offset is None or item.chunks is not None or item.external):
        return None
    return StoredArray(str(dtype), tuple(item.shape), start + (offset or 0), length)
