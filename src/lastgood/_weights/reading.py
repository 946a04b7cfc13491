"""The arrays of a checkpoint, read one at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .. import _strict_json
from .._errors import ArgumentError, CorruptCheckpointError
from .._formats import format_at
from .._formats.orbax_directory import OrbaxDirectory
from .._formats.saved_model import SavedModel
from .._formats.tf_checkpoint import TFCheckpoint
from .._layout import zip_layout
from .._layout.hdf5_reader import Contents, read_contents
from .._storage import entries
from .._storage.plain import read_plain
from .._storage.positioned import PositionedFile

_READERS = {TFCheckpoint: "TensorFlow", SavedModel: "TensorFlow", OrbaxDirectory: "Orbax"}
OPTIMIZER = ("optimizer/", "optimizer_weights/")
_NO_NAME = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8", "int4": "int8"}


@dataclass(frozen=True)
class Entry:
    """One array of a checkpoint.

    Attributes:
        name: Its path in the file, such as ``layers/dense/vars/0``.
        dtype: Its type's name, as Keras has it.
        shape: Its shape.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


class Weights:
    """The arrays of a checkpoint that is open."""

    def __init__(self, file: PositionedFile, place: tuple[int, int]) -> None:
        """Find the arrays; none is read.

        Args:
            file: The file that they are in.
            place: Where the HDF5 file lies in it: (offset, length).

        Raises:
            CorruptCheckpointError: It is no HDF5 file, or one that is damaged.
        """
        self._file = file
        self._place = place
        self._contents: Contents = read_contents(file, *place)

    @property
    def entries(self) -> Sequence[Entry]:
        """All arrays, in the file's order."""
        return [self._entry(name) for name in self._contents.arrays]

    def _entry(self, name: str) -> Entry:
        stored = self._contents.arrays[name]
        if stored is not None:
            return Entry(name, stored.dtype, stored.shape)
        with self._hdf5() as file:
            return Entry(name, str(file[name].dtype.name), tuple(file[name].shape))

    def raw(self, name: str) -> npt.NDArray[Any]:
        """Return an array as it lies in the file; one of a type that NumPy has no name for, as integers."""
        stored = self._contents.arrays[name]
        if stored is None:
            with self._hdf5() as file:
                return np.asarray(file[name][()])
        array = np.empty(stored.shape, _NO_NAME.get(stored.dtype, stored.dtype))
        if array.nbytes:
            self._file.read_into(array.reshape(-1).view(np.uint8), stored.offset)
        return array

    def numbers(self, name: str) -> npt.NDArray[Any] | None:
        """Return an array as numbers that NumPy can count with; None if it can not with any of them."""
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
            group: Where to.
            leave_out: Names at the top that are not copied.
        """
        with self._hdf5() as file:
            for name in file:
                if name not in leave_out:
                    file.copy(name, group)


def only_reader(path: Path) -> str | None:
    """Return the name of the tool whose format alone the arrays at ``path`` are in; None if they can be read here."""
    return next((tool for kind, tool in _READERS.items() if isinstance(format_at(path), kind)), None)


@contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """Open a checkpoint's arrays.

    Raises:
        ArgumentError: There is none at the path, or its format has no arrays that can be read without its own tool.
        CorruptCheckpointError: It is damaged.
    """
    if not entries.exists(path):
        raise ArgumentError(f"There is no checkpoint {str(path)!r}.")
    reader = only_reader(path)
    if reader:
        raise ArgumentError(
            f"Only {reader} reads the arrays of {str(path)!r}. "
            "Load them into their model with lastgood.load_weights, and save that as .weights.h5."
        )
    inner = path / zip_layout.WEIGHTS if path.is_dir() else path
    if not inner.exists():
        raise CorruptCheckpointError(path, f"the file {zip_layout.WEIGHTS!r}", "it is gone")
    archive = path.suffix == ".keras" and not path.is_dir()
    place = zip_layout.place_of_weights(inner)[0] if archive else (0, inner.stat().st_size)
    with PositionedFile(inner) as file:
        yield Weights(file, place)


def config(path: Path) -> Mapping[str, Any]:
    """Return the model's configuration in a checkpoint; nothing if it holds none."""
    try:
        if path.is_dir():
            text = read_plain(path / "config.json", _strict_json.LONGEST)
        else:
            with zip_layout.opened(path) as (archive, _):
                text = archive.read("config.json")
        found = _strict_json.read(text, _strict_json.LONGEST)
    except (OSError, KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
