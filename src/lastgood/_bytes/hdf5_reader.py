"""The places of the tensors in an HDF5 weights file. HDF5 only finds the places; the bytes are read without it.

HDF5 can do more than hold arrays: an array may be a link to another one or to another file, keep its data in another
file, claim a size for which it has no bytes, or be compressed to a thousandth of its size. Keras writes none of that,
so a file with any of it is refused before anything follows it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py

from .._errors import CorruptCheckpointError
from .._storage import StoredFile
from .hdf5_layout import GROUP, MARK, TRAINING

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# For each version of a superblock: the positions of the size of offsets, and of the end of the file.
_SUPERBLOCKS = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}
_SUPERBLOCK = 52
_DEEPEST = 100
_UNNAMED = {"bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "int4": 1}  # bytes per number


@dataclass(frozen=True)
class StoredArray:
    """One array of the file.

    Attributes:
        dtype: Its type's name, such as ``float32`` or ``bfloat16``.
        shape: Its shape.
        offset: The offset of its bytes in the file.
        length: The number of bytes; 0 for an empty array.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Contents:
    """The contents of a weights file.

    Attributes:
        arrays: The arrays by path, such as ``layers/dense/vars/0``; None for one whose bytes are not contiguous, or not
            stored as in memory.
        marked: Whether it has the mark of a file that has a record.
        training: The training state; None if there is none.
    """

    arrays: Mapping[str, StoredArray | None]
    marked: bool
    training: StoredArray | None = None

    @property
    def extents(self) -> list[tuple[int, int]]:
        """The extents of all contiguous arrays that are not empty, including the training state, sorted by offset."""
        found = [*self.arrays.values(), self.training]
        return sorted((array.offset, array.length) for array in found if array and array.length)


class _RefusedError(Exception):
    """The file holds something that is refused, such as a link."""


def read_contents(file: StoredFile, start: int, size: int, *, legacy: bool = False) -> Contents:
    """Return the contents of the HDF5 file in ``file``, without reading the arrays.

    Args:
        file: The checkpoint's file; if it has digests, they were checked.
        start: The offset of the HDF5 file in it.
        size: The HDF5 file's length; may include bytes after its end.
        legacy: Whether it has the legacy layout, in which attributes say which arrays to read.

    Raises:
        CorruptCheckpointError: It is not an HDF5 file, is damaged, or holds more than arrays.
    """
    try:
        with file.window(start, size) as window, h5py.File(window, "r") as hdf5:
            arrays, own = arrays_of(hdf5, start)
            marked = MARK in hdf5.attrs
            if legacy:
                _check_names(hdf5, arrays)
    except _RefusedError as error:
        raise CorruptCheckpointError(file.path, "its structure", str(error)) from None
    except Exception as error:  # h5py raises many kinds of exceptions for damaged bytes
        raise CorruptCheckpointError(file.path, "its structure", f"HDF5 reports: {error}") from error
    found = [*arrays.values(), *own.values()]
    spans = sorted((array.offset, array.offset + array.length) for array in found if array and array.length)
    if any(a[1] > b[0] for a, b in pairwise([*spans, (start + size, start + size)])):
        raise CorruptCheckpointError(file.path, "its structure", "an array overlaps another or ends outside the file")
    return Contents(arrays, marked, own.get(f"{GROUP}/{TRAINING}"))


def arrays_of(hdf5: h5py.File, start: int = 0) -> tuple[dict[str, StoredArray | None], dict[str, StoredArray | None]]:
    """Return the arrays of an open HDF5 file by path, and those of lastgood; the file begins at ``start``."""
    arrays: dict[str, StoredArray | None] = {}
    own: dict[str, StoredArray | None] = {}
    size = hdf5.id.get_filesize()
    for path, item in _walk(hdf5):
        if isinstance(item, h5py.Dataset):
            (own if path.startswith(f"{GROUP}/") else arrays)[path] = _describe(path, item, start, size)
    return arrays, own


def stated_end(file: StoredFile, start: int, size: int) -> int | None:
    """Return the length that the HDF5 file in ``file`` states; None if only HDF5 can find it."""
    head = bytearray(_SUPERBLOCK)
    if size < len(head):
        return None
    file.read_into(head, start)
    bytes_at, end_at = _SUPERBLOCKS.get(head[8], (0, 0))
    if head[:8] != _SIGNATURE or head[bytes_at] != 8:
        return None
    return int.from_bytes(head[end_at : end_at + 8], "little")


def _walk(hdf5: h5py.File) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield the groups and arrays in the order of their paths; refuse links and items with more than one name."""
    waiting: list[tuple[str, Any]] = [("", hdf5)]
    while waiting:
        path, item = waiting.pop()
        if path and isinstance(item, h5py.Group | h5py.Dataset):
            yield path, item
        if not isinstance(item, h5py.Group):
            continue
        if path.count("/") > _DEEPEST:
            raise _RefusedError(f"its groups are nested more than {_DEEPEST} levels deep")
        children = []
        for name in item:
            place = f"{path}/{name}".lstrip("/")
            if item.id.links.get_info(name.encode(errors="surrogateescape")).type != h5py.h5l.TYPE_HARD:
                raise _RefusedError(f"'{place}' is a link")
            child = item[name]
            if h5py.h5o.get_info(child.id).rc != 1:
                raise _RefusedError(f"'{place}' has more than one name")
            children.append((place, child))
        waiting.extend(reversed(children))


def _describe(path: str, item: h5py.Dataset, start: int, size: int) -> StoredArray | None:
    """Return the place of an array; None if its bytes are not contiguous, or not stored as in memory."""
    properties = item.id.get_create_plist()
    if properties.get_external_count() or properties.get_layout() == h5py.h5d.VIRTUAL:
        raise _RefusedError(f"the array '{path}' is stored in another file")
    length = math.prod(item.shape) * item.id.get_type().get_size()
    offset = item.id.get_offset()
    dtype = _dtype(item)
    opaque = item.dtype.kind == "V" and item.dtype.names is None
    plain = item.dtype.kind in "biufc" or dtype in _UNNAMED or opaque
    if length and (offset is None or item.chunks is not None or item.dtype.byteorder == ">" or not plain):
        if length > min(size, item.id.get_storage_size()):
            raise _RefusedError(f"the array '{path}' is longer than its stored bytes: compressed, or never written")
        return None
    return StoredArray(dtype, tuple(item.shape), start + (offset or 0), length)


def _dtype(item: h5py.Dataset) -> str:
    """Return the name of an array's type; for a type that HDF5 does not have, an attribute gives the name.

    Keras writes it only for ``bfloat16``; numbers of other such types, such as ``float8``, are bytes (``V1``).
    """
    if item.dtype.kind != "V" or item.dtype.names is not None:
        return str(item.dtype.name)
    name = str(item.attrs.get("dtype"))
    return name if _UNNAMED.get(name) == item.dtype.itemsize else f"V{item.dtype.itemsize}"


def _check_names(hdf5: h5py.File, arrays: Mapping[str, StoredArray | None]) -> None:
    """Check that the arrays that each layer reads are in its group, and that it reads each only once."""
    for path, group in _walk(hdf5):
        if isinstance(group, h5py.Dataset):
            continue
        lists = [group.attrs[key] for key in group.attrs if key.startswith("weight_names")]
        names = [str(name, "utf-8") if isinstance(name, bytes) else str(name) for each in lists for name in each]
        if len(set(names)) < len(names):
            raise _RefusedError(f"'{path}' names an array twice")
        if missing := [name for name in names if f"{path}/{name}" not in arrays]:
            raise _RefusedError(f"'{path}' names an array '{missing[0]}' that it does not hold")
