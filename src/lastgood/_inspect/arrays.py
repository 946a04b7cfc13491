"""The arrays of a checkpoint, read one at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .. import _json
from .._bytes.hdf5_reader import Contents, read_contents
from .._errors import ArgumentError
from .._formats import format_at
from .._storage import Extent, Location, StoredFile

OPTIMIZER = ("optimizer/", "optimizer_weights/")
_NO_NAME = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8", "int4": "int8"}


@dataclass(frozen=True)
class Entry:
    """One array of a checkpoint.

    Attributes:
        name: Its path in the file, such as ``layers/dense/vars/0``.
        dtype: The name of its type in Keras.
        shape: Its shape.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


class Weights:
    """The arrays of an open checkpoint."""

    def __init__(self, file: StoredFile, place: Extent) -> None:
        """Find the arrays, without reading them.

        Args:
            file: The file that contains them.
            place: The extent of the HDF5 file in it.

        Raises:
            CorruptCheckpointError: It is not an HDF5 file, or it is damaged.
        """
        self._file = file
        self._place = place
        self._contents: Contents = read_contents(file, *place)

    @property
    def entries(self) -> Sequence[Entry]:
        """All arrays, in the order of the file."""
        return [self._entry(name) for name in self._contents.arrays]

    def _entry(self, name: str) -> Entry:
        stored = self._contents.arrays[name]
        if stored is not None:
            return Entry(name, stored.dtype, stored.shape)
        with self._hdf5() as file:
            return Entry(name, str(file[name].dtype.name), tuple(file[name].shape))

    def raw(self, name: str) -> npt.NDArray[Any]:
        """Return an array as it is stored; integers stand for a type that NumPy does not have."""
        stored = self._contents.arrays[name]
        if stored is None:
            with self._hdf5() as file:
                return np.asarray(file[name][()])
        array = np.empty(stored.shape, _NO_NAME.get(stored.dtype, stored.dtype))
        if array.nbytes:
            self._file.read_into(array.reshape(-1).view(np.uint8), stored.offset)
        return array

    def numbers(self, name: str) -> npt.NDArray[Any] | None:
        """Return an array as numbers that NumPy can compute with; None if NumPy does not support its type."""
        dtype, array = self._entry(name).dtype, self.raw(name)
        if dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array if dtype not in _NO_NAME and array.dtype.kind in "biuf" else None

    @contextmanager
    def _hdf5(self) -> Iterator[h5py.File]:
        with self._file.window(*self._place) as window, h5py.File(window, "r") as file:
            yield file

    def copy_into(self, group: h5py.Group, leave_out: Sequence[str]) -> None:
        """Copy groups, attributes and arrays into another HDF5 file.

        Args:
            group: The destination.
            leave_out: The names at the top level that are not copied.
        """
        with self._hdf5() as file:
            for name in file:
                if name not in leave_out:
                    file.copy(name, group)


@contextmanager
def open_weights(at: Location) -> Iterator[Weights]:
    """Open a checkpoint's arrays.

    Raises:
        ArgumentError: There is no checkpoint, or only another tool can read the arrays of its format.
        CorruptCheckpointError: It is damaged.
    """
    if at.kind is None:
        raise ArgumentError(f"There is no checkpoint at {str(at)!r}. Check the path.")
    with format_at(at).arrays(at) as (file, place):
        yield Weights(file, place)


def config(at: Location) -> Mapping[str, Any]:
    """Return the model's configuration in a checkpoint; empty if it holds none."""
    try:
        text = format_at(at).config(at)
        found = {} if text is None else _json.read(text, _json.LONGEST)
    except (OSError, KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
