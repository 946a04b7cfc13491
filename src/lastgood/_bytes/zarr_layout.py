"""The layout of a directory of arrays in parts, which several processes write and Orbax reads: Zarr, version 3.

    orbax.checkpoint, _CHECKPOINT_METADATA               what Orbax recognizes the directory by
    pytree/_METADATA                                     the tree of the arrays
    pytree/trainable_variables.dense.kernel/zarr.json    the shape and type of an array, and the shape of its parts
    pytree/trainable_variables.dense.kernel/c.0.1        the bytes of the part in the first row and the second column

All parts of an array have the same shape. No file holds more than one part, so each process writes files of its own.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _json
from .._errors import CorruptCheckpointError
from .._storage import Location

_TREE = "pytree"
_METADATA = f"{_TREE}/_METADATA"
_HANDLER = "orbax.checkpoint.experimental.v1._src.handlers.pytree_handler.PyTreeHandler"
_KEY_OF_DICTIONARY = 2
_BYTES = [{"name": "bytes", "configuration": {"endian": "little"}}]
_MOST_AXES = 32


class SplitArray(NamedTuple):
    """An array in such a directory.

    Attributes:
        path: The keys to it in the tree, joined with ``/``.
        shape: Its shape.
        dtype: The name of its type.
        part: The shape of each of its parts; its length along each axis divides that of the array.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    part: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size in bytes, at least; numbers of a type that NumPy does not have count as one byte."""
        try:
            return math.prod(self.shape) * np.dtype(self.dtype).itemsize
        except TypeError:
            return math.prod(self.shape)

    @property
    def directory(self) -> str:
        """The directory of its files."""
        return f"{_TREE}/{self.path.replace('/', '.')}"

    def file(self, starts: Sequence[int]) -> str:
        """Return the name of the file of the part that begins at ``starts``."""
        numbers = (start // length for start, length in zip(starts, self.part, strict=True))
        return f"{self.directory}/{'.'.join(['c', *map(str, numbers)])}"

    def starts(self) -> Iterator[tuple[int, ...]]:
        """Yield where each part begins, along each axis."""
        return itertools.product(*(range(0, all_, part) for all_, part in zip(self.shape, self.part, strict=True)))

    def _described(self) -> dict[str, Any]:
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.part}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": False if self.dtype == "bool" else 0,
            "codecs": _BYTES,
        }


def files_around(arrays: Sequence[SplitArray], groups: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of all files except the parts, by name.

    Args:
        arrays: The arrays.
        groups: The keys at the root of the tree, of which some may have no arrays.
    """
    tree = {_key(array.path.split("/")): _leaf(array.path.split("/")) for array in arrays}
    full = {array.path.partition("/")[0] for array in arrays}
    tree |= {_key([group]): _leaf([group], "Dict") for group in groups if group not in full}
    metadata = {
        "tree_metadata": tree,
        "use_ocdbt": False,
        "use_zarr3": True,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    found = {array.directory + "/zarr.json": array._described() for array in arrays}
    found |= {_METADATA: metadata, "_CHECKPOINT_METADATA": {"item_handlers": {_TREE: _HANDLER}}}
    return {"orbax.checkpoint": b"", **{name: json.dumps(value).encode() for name, value in found.items()}}


def _key(keys: Sequence[str]) -> str:
    return str(tuple(keys))


def _leaf(keys: Sequence[str], kind: str = "np.ndarray") -> dict[str, Any]:
    return {
        "key_metadata": [{"key": key, "key_type": _KEY_OF_DICTIONARY} for key in keys],
        "value_metadata": {"value_type": kind, "skip_deserialize": kind == "Dict"},
    }


def is_at(at: Location) -> bool:
    """Return True if the directory at ``at`` has this layout, rather than one that only Orbax can read."""
    try:
        return _tree(at)["use_ocdbt"] is False
    except (OSError, CorruptCheckpointError, LookupError):
        return False


def arrays_at(at: Location) -> list[SplitArray]:
    """Return the arrays in a directory of this layout.

    Raises:
        CorruptCheckpointError: They are not described as this module describes them.
        OSError: The storage failed.
    """
    try:
        leaves = [
            leaf for leaf in _tree(at)["tree_metadata"].values() if leaf["value_metadata"]["value_type"] != "Dict"
        ]
        return [_array_at(at, "/".join(each["key"] for each in leaf["key_metadata"])) for leaf in leaves]
    except (LookupError, TypeError, AttributeError) as error:
        raise CorruptCheckpointError(at, f"the file {_METADATA!r}") from error


def _array_at(at: Location, path: str) -> SplitArray:
    if set(path) & {"\\", "\0"}:  # on some systems it would lead elsewhere
        raise CorruptCheckpointError(at, f"the file {_METADATA!r}", f"it names the array {path!r}")
    name = SplitArray(path, (), "", ()).directory + "/zarr.json"
    said = _read(at, name)
    try:
        shape, part = tuple(said["shape"]), tuple(said["chunk_grid"]["configuration"]["chunk_shape"])
        array = SplitArray(path, shape, said["data_type"], part)
    except (LookupError, TypeError) as error:
        raise CorruptCheckpointError(at, f"the file {name!r}") from error
    if said != json.loads(json.dumps(array._described())) or not _is_sound(array):
        raise CorruptCheckpointError(at, f"the file {name!r}", "it does not describe an array as lastgood writes it")
    return array


def _is_sound(array: SplitArray) -> bool:
    lengths = (*array.shape, *array.part)
    return (
        len(array.shape) == len(array.part) <= _MOST_AXES
        and all(type(length) is int and length > 0 for length in lengths)
        and all(length % part == 0 for length, part in zip(array.shape, array.part, strict=True))
    )


def _tree(at: Location) -> dict[str, Any]:
    return _read(at, _METADATA)


def _read(at: Location, name: str) -> dict[str, Any]:
    try:
        said = _json.read((at / name).read(_json.LONGEST), _json.LONGEST)
    except ValueError as error:
        raise CorruptCheckpointError(at, f"the file {name!r}", str(error)) from error
    if not isinstance(said, dict):
        raise CorruptCheckpointError(at, f"the file {name!r}")
    return said
