"""No ending, whole model: Keras 3's model archive as a directory."""

from pathlib import Path
from typing import Any

from .. import _frameworks
from .._layout import directory_record, weights_file
from .._layout.training_block import Training
from .._record import Record
from .._storage.positioned import PositionedFile
from .base import Snapshot, WhenAlike, live, to_bytes

_MARKERS = {"config.json", "metadata.json", "model.weights.h5"}


class KerasDirectory:
    """A whole model as ``config.json``, ``metadata.json``, ``model.weights.h5`` and ``assets/``."""

    name = "keras directory"
    takes_options = False
    suffix = ""

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Do nothing: stock Keras writes this format, from the model itself."""
        del model, training
        return 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Leave all to the writing, for which training has to wait."""
        content = to_bytes(model, training(self.unsaved_variables(model)))
        return live(lambda path: self._write(model, path, record, content))

    def _write(self, model: Any, path: Path, record: Record, training: bytes) -> None:
        """Write with stock Keras, then add the record.

        The path is made absolute: below a relative one, stock Keras loses the assets.
        """
        model.save(path.absolute(), zipped=False)
        directory_record.write_record(path, record, training)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the directory's own file."""
        return directory_record.read_record(path)

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return what stock saving leaves out."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=True)

    def read_training(self, path: Path) -> bytes | None:
        """Return the training state in the directory's own file."""
        return directory_record.read_training(path)

    def verify(self, path: Path) -> None:
        """Check every file against its digest, and that the weights file can be read."""
        directory_record.verify(path)
        with PositionedFile(path / "model.weights.h5") as file:
            weights_file.verify(file, (0, file.size), None)

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the files, and load the weights file; stock Keras takes no directory of this kind here."""
        from .._layout import weights_restore  # here, because looking at checkpoints must not import Keras

        if when_alike is None:
            directory_record.verify(path)
        with PositionedFile(path / "model.weights.h5") as file:
            weights_restore.load(model, file, (0, file.size), None, when_alike=when_alike)

    def may_replace(self, path: Path) -> bool:
        """A directory replaces an older one of its kind, or an empty one."""
        return not path.exists() or directory_record.is_checkpoint(path, _MARKERS)
