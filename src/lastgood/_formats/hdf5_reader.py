"""The tensors of an HDF5 weights file: where they are, and whether they are what was written.

HDF5 is asked for places only; the bytes are read past it. Nothing is believed before it is checked: a place must lie in
the file, and a file with digests must match them, before anything is done with what it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .._errors import CorruptCheckpointError
from .._record import digest_of
from .._storage.positioned import PositionedFile
from . import digests
from .hdf5_layout import DIGESTS, GROUP


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
        digests: The digests of those that are not empty, in the order of their offsets; None if the file has none.
    """

    arrays: Mapping[str, StoredArray | None]
    digests: npt.NDArray[np.uint32] | None

    @property
    def extents(self) -> list[tuple[str, int, int]]:
        """Path, offset and length of each array with a digest, in the order of their offsets."""
        if self.digests is None:
            return []
        found = [(array.offset, array.length, path) for path, array in self.arrays.items() if array and array.length]
        return [(path, offset, length) for offset, length, path in sorted(found)]


def read_contents(file: PositionedFile, start: int, size: int) -> Contents:
    """Return what the HDF5 file holds that lies in ``file``, without reading the arrays.

    Args:
        file: The checkpoint's file.
        start: Where the HDF5 file begins in it.
        size: The HDF5 file's length.

    Raises:
        CorruptCheckpointError: It is no HDF5 file, or one that is damaged.
    """
    arrays: dict[str, StoredArray | None] = {}
    crcs = None

    def visit(path: str, item: Any) -> None:
        nonlocal crcs
        if not isinstance(item, h5py.Dataset):
            return
        if path == f"{GROUP}/{DIGESTS}":
            crcs = np.asarray(item[()], np.uint32)
        else:
            arrays[path] = _describe(item, start)

    try:
        with file.window(start, size) as window, h5py.File(window, "r") as hdf5:
            hdf5.visititems(visit)
    except Exception as error:  # HDF5 has an exception of its own for each thing that can be wrong with its bytes
        raise CorruptCheckpointError(file.path, "its structure", f"HDF5 says: {error}") from error
    contents = Contents(arrays, crcs)
    _check_places(file, contents, start, size)
    return contents


def verify(file: PositionedFile, contents: Contents, record_text: str | None) -> None:
    """Check every byte of a file that has digests against them.

    Args:
        file: The checkpoint's file.
        contents: What it holds.
        record_text: Its record, as it stands in the file; None if it has none.

    Raises:
        CorruptCheckpointError: Some are not what was written; says which variable or region.
    """
    digest = digest_of(record_text) if record_text is not None else None
    if digest is None:
        if record_text is not None or contents.digests is not None:
            raise CorruptCheckpointError(file.path, "its record")
        return
    extents = [(offset, length) for _, offset, length in contents.extents]
    at = digests.find_digits(file.parts, file.size, extents, digest)
    if at is None:
        raise CorruptCheckpointError(file.path, "its record")
    found = digests.of_extents(file.parts, extents)
    if contents.digests is not None:
        for (path, _, _), crc, expected in zip(contents.extents, found, contents.digests, strict=True):
            if crc != expected:
                raise CorruptCheckpointError(file.path, f"the array '{path}'", array=path)
    if digests.of_rest(file.parts, file.size, extents, at) != digest:
        raise CorruptCheckpointError(file.path, "its structure: what lies between the arrays")


def _describe(item: h5py.Dataset, start: int) -> StoredArray | None:
    dtype = item.attrs.get("dtype", item.dtype.name)
    length = int(np.prod(item.shape, dtype=np.int64)) * item.dtype.itemsize
    offset = item.id.get_offset()
    if length and (offset is None or item.chunks is not None or item.external):
        return None
    return StoredArray(str(dtype), tuple(item.shape), start + (offset or 0), length)


def _check_places(file: PositionedFile, contents: Contents, start: int, size: int) -> None:
    """Check that each array lies in the file, and none in another, before any memory is taken for one."""
    known = [array for array in contents.arrays.values() if array and array.length]
    spans = sorted((array.offset, array.offset + array.length) for array in known)
    if any(stop > start + size for _, stop in spans) or any(a[1] > b[0] for a, b in pairwise(spans)):
        raise CorruptCheckpointError(file.path, "its structure", "an array lies outside of its place")
    if contents.digests is not None and (None in contents.arrays.values() or len(contents.digests) != len(spans)):
        raise CorruptCheckpointError(file.path, "its structure", "its digests are not those of its arrays")
