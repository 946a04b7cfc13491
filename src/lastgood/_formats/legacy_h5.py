"""``*.h5`` and ``*.hdf5``: the HDF5 files of Keras 2, which Keras 3 still reads."""

from functools import partial
from pathlib import Path
from typing import Any

import h5py

from .. import _frameworks
from .._errors import ArgumentError
from .._layout import trailing_record, weights_file
from .._layout.training_block import Training
from .._record import Record
from .._storage.positioned import PositionedFile
from .base import Snapshot, WhenAlike, to_bytes
from .hdf5_by_stock import about, snapshot

_UNREADABLE = ("bfloat16", "float8")


class LegacyModel:
    """A whole model in one HDF5 file."""

    name = "h5"
    _has_optimizer = True

    def __init__(self, suffix: str = ".h5", *, takes_options: bool = False) -> None:
        """Take the ending that its writer insists on, and whether stock hands ``options`` on, which it ignores."""
        self.suffix = suffix
        self.takes_options = takes_options

    def check_model(self, model: Any) -> None:
        """Check that every variable's type is one that HDF5 has: others are written, and cannot be read."""
        framework = _frameworks.of(model)
        for variable in framework.weights(model):
            dtype = framework.dtype_of(variable)
            if dtype.startswith(_UNREADABLE):
                raise ArgumentError(
                    f"The variable '{framework.path_of(variable)}' is of type {dtype}, which stock Keras writes to a "
                    "legacy HDF5 file but cannot read from it. End the path in '.weights.h5' or '.keras'."
                )

    def prepare(self, model: Any, training: Training) -> int:
        """Return about the length of the file: nothing is planned, since stock Keras lays it out each time."""
        del training
        return about(_frameworks.state_bytes(model, optimizer=self._has_optimizer))

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Have stock Keras write into the staging buffer."""
        content = to_bytes(model, training(self.unsaved_variables(model)))
        return snapshot(partial(self._write, model), self.prepare(model, training), record, content)

    def _write(self, model: Any, file: h5py.File) -> None:
        """Write with stock Keras."""
        _frameworks.of(model).save_legacy_model(model, file)

    def read_record(self, path: Path) -> Record | None:
        """Return the record at the file's end."""
        return trailing_record.read(path)

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return all but the weights: stock loading takes no optimizer state from this layout."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=False)

    def read_training(self, path: Path) -> bytes | None:
        """Read the data set that it is."""
        with PositionedFile(path) as file:
            return weights_file.read_training(file, (0, file.size))

    def verify(self, path: Path) -> None:
        """Check the file against its digests, and that it holds arrays and nothing that leads elsewhere."""
        with PositionedFile(path) as file:
            weights_file.verify(file, (0, file.size), trailing_record.find(file), legacy=True)

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the file, and load it with stock Keras."""
        if when_alike is None:
            self.verify(path)
        else:
            when_alike()
        model.load_weights(path)

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()


class LegacyWeights(LegacyModel):
    """Weights alone, by layer name; the legacy layout has no place for the optimizer."""

    name = "h5 weights"
    _has_optimizer = False

    def _write(self, model: Any, file: h5py.File) -> None:
        """Write the layout that stock ``load_weights`` reads."""
        _frameworks.of(model).save_legacy_weights(model, file)
