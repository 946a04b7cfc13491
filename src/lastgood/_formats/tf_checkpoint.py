"""No HDF5 ending, weights only, tf_keras: a checkpoint of TensorFlow, a group of files.

Stock tf_keras writes it, in one part. Ours gets a second part, in which no tensor of the model is: the training state,
the digests of the other files and the record.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _frameworks
from .._errors import RestoreError
from .._layout import bundle
from .._layout.training_block import Training
from .._record import Record
from .._storage import entries
from .._storage.durable import fsync_path
from .base import Report, Snapshot, WhenAlike, to_bytes

if TYPE_CHECKING:
    from .._tf_keras import CopiedCheckpoint


class TFCheckpoint:
    """Weights and optimizer state as TensorFlow's own files."""

    name = "tf checkpoint"
    suffix = ""
    takes_options = True

    def __init__(self, options: Any = None) -> None:
        """Take the ``tf.train.CheckpointOptions`` to write with."""
        self._options = options
        self._copies: CopiedCheckpoint | None = None

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever tf_keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Do nothing: TensorFlow takes copies of its own."""
        del model, training
        return 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Have TensorFlow copy the variables, and write the copies while training goes on."""
        from .. import _tf_keras  # here, because looking at checkpoints must not import TensorFlow

        content = to_bytes(model, training(self.unsaved_variables(model)))
        target: list[Path] = []

        def write(path: Path, report: Report) -> None:
            apart = path.with_name(path.name + ".parts")
            apart.mkdir()
            try:
                write_weights(apart / "weights")
                count = entries.free_count(target[0], 2)
                _tf_keras.merge_checkpoints(apart, "weights", [f"{bundle.MARK}-{i}" for i in range(1, count)], path)
            finally:
                shutil.rmtree(apart)
            bundle.append(path, count, record, content)
            report(entries.tree_bytes(path))

        copied = self._take_copies(model)

        def write_weights(path: Path) -> None:
            if copied is not None:
                copied.write(path, self._options)
            else:
                _tf_keras.write_checkpoint(model, path, self._options)

        return Snapshot(write, live=copied is None, before=target.append, after=_make_latest)

    def _take_copies(self, model: Any) -> "CopiedCheckpoint | None":
        """Copy the variables of ``model``; None where that cannot be done: then training waits for the writing."""
        from .. import _tf_keras  # here, because looking at checkpoints must not import TensorFlow

        try:
            if self._copies is None or not self._copies.is_of(model):
                self._copies = _tf_keras.CopiedCheckpoint(model)
            self._copies.take()
        except NotImplementedError:
            self._copies = None
        return self._copies

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return what stock saving leaves out."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=True)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the part that is ours."""
        return bundle.read_record(path)

    def read_training(self, path: Path) -> bytes | None:
        """Return the training state in the part that is ours."""
        return bundle.read_training(path)

    def verify(self, path: Path) -> None:
        """Check every file against its digest."""
        bundle.verify(path)

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the files, and load them with stock tf_keras; exactly the model's variables if that is asked for."""
        if when_alike is None:
            self.verify(path)
            model.load_weights(str(path))
            return
        when_alike()
        try:
            model.load_weights(str(path)).assert_existing_objects_matched()
        except AssertionError as error:
            raise RestoreError(f"Error loading file from {path}. Reason: it is not of this model: {error}") from error

    def may_replace(self, path: Path) -> bool:
        """A group lies beside a directory of its name; its index replaces anything but a directory."""
        return not entries.index_of(path).is_dir()


def _make_latest(path: Path) -> None:
    """Have ``tf.train.latest_checkpoint`` find it, as stock saving does."""
    from .. import _tf_keras  # here, because looking at checkpoints must not import TensorFlow

    _tf_keras.note_latest(path)
    fsync_path(path.parent / "checkpoint")
    fsync_path(path.parent)
