"""``*.weights.h5``: Keras 3's weights file."""

from pathlib import Path
from typing import Any, ClassVar

from .._record import Record
from . import hdf5_record


class WeightsH5:
    """Weights and optimizer in one HDF5 file."""

    name: ClassVar[str] = "weights.h5"
    suffix: ClassVar[str] = ".weights.h5"

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def write(self, model: Any, path: Path, record: Record) -> None:
        """Write with stock Keras, then add the record."""
        model.save_weights(path)
        hdf5_record.write_record(path, record)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the file's root attributes."""
        return hdf5_record.read_record(path)

    def load_weights(self, model: Any, path: Path) -> None:
        """Load with stock Keras."""
        model.load_weights(path)

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()
