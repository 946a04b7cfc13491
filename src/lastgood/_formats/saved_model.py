"""No ending of a file, whole model, tf_keras: a SavedModel directory, which stock tf_keras writes."""

from pathlib import Path
from typing import Any

from .. import _frameworks
from .._layout import directory_record
from .._layout.training_block import Training
from .._record import Record
from .._storage.plain import check_plain
from .base import Snapshot, WhenAlike, live, to_bytes

MARKERS = {"saved_model.pb", "variables"}


class SavedModel:
    """A whole model with its traced functions."""

    name = "saved model"
    suffix = ""
    takes_options = True

    def __init__(self, options: Any = None) -> None:
        """Take the ``tf.saved_model.SaveOptions`` to write with."""
        self._options = options

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever tf_keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Do nothing: stock tf_keras writes this format, from the model itself."""
        del model, training
        return 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Leave all to the writing, for which training has to wait."""
        content = to_bytes(model, training(self.unsaved_variables(model)))
        return live(
            lambda path: model.save(str(path), options=self._options),
            lambda path: directory_record.write_record(path, record, content),
        )

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return all but the weights: stock ``load_weights`` takes no optimizer state from a SavedModel."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=False)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the directory's own file."""
        return directory_record.read_record(path)

    def read_training(self, path: Path) -> bytes | None:
        """Return the training state in the directory's own file."""
        return directory_record.read_training(path)

    def verify(self, path: Path) -> None:
        """Check every file against its digest."""
        directory_record.verify(path)

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the files, and load them with stock tf_keras, from its variables alone: no function in it is called."""
        if when_alike is None:
            self.verify(path)
        check_plain(path)
        if when_alike is not None:
            when_alike()
        model.load_weights(str(path))

    def may_replace(self, path: Path) -> bool:
        """A directory replaces an older one of its kind, or an empty one."""
        return not path.exists() or directory_record.is_checkpoint(path, MARKERS)
