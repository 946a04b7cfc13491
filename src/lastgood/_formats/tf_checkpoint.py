"""A path without an HDF5 ending, weights only, tf_keras: a TensorFlow checkpoint, which is a group of files.

Stock tf_keras writes it in one part. lastgood adds a second part without tensors of the model: it holds the training
state, the digests of the other files and the record.
"""

import shutil
import weakref
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .._bytes import bundle
from .._bytes.training_block import Training
from .._errors import RestoreError
from .._keras import Generation, ModelAdapter
from .._record import Record
from .._storage import Location, Report, Stage, groups
from .._storage.base import Kind
from .base import Fill, Format, Snapshot, to_bytes

if TYPE_CHECKING:
    from .._keras.tf_checkpoints import CopiedCheckpoint
    from .._keras.tf_keras2 import TFKeras2Model


class TFCheckpoint(Format):
    """Weights and optimizer state in TensorFlow's own files."""

    name = "tf checkpoint"
    endings = {"tf_keras": ("",)}
    weights_only = True
    describes = "weights only"
    only_reader = "TensorFlow"
    takes_options = True

    def __init__(self, ending: str = "", generation: Generation = "tf_keras", options: Any = None) -> None:
        """Store what selected the format."""
        super().__init__(ending, generation, options)
        self._copies: CopiedCheckpoint | None = None

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True for a group of files."""
        del at, names
        return kind == "group"

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Do nothing: TensorFlow makes its own copies."""
        del adapter, training
        return 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy the variables with TensorFlow; the copies are written while training continues."""
        from .._keras import tf_checkpoints  # here, because inspecting checkpoints must not import TensorFlow

        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
        copied = self._take_copies(cast("TFKeras2Model", adapter))  # ensured by `check_model`

        def write_weights(path: Path) -> None:
            if copied is not None:
                copied.write(path, self._options)
            else:
                tf_checkpoints.write_checkpoint(adapter.model, path, self._options)

        def write(stage: Stage, report: Report) -> None:
            apart = stage.path.with_name(stage.path.name + ".parts")
            apart.mkdir()
            try:
                write_weights(apart / "weights")
                count = groups.free_count(stage.target.name, stage.beside(), 2)
                marks = [f"{bundle.MARK}-{i}" for i in range(1, count)]
                tf_checkpoints.merge_checkpoints(apart, "weights", marks, stage.path)
            finally:
                shutil.rmtree(apart)
            bundle.append(stage, count, record, content)
            report(stage.size())

        return Snapshot(write, live=copied is None, after=_make_latest)

    def _take_copies(self, adapter: "TFKeras2Model") -> "CopiedCheckpoint | None":
        """Copy the variables of a model; return None if they cannot be copied, so that training has to wait."""
        from .._keras import tf_checkpoints  # here, because inspecting checkpoints must not import TensorFlow

        try:
            if self._copies is None or not self._copies.is_of(adapter):
                self._copies = tf_checkpoints.CopiedCheckpoint(adapter)
            self._copies.take()
        except NotImplementedError:
            self._copies = None
        return self._copies

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return all but the weights and the optimizer: TensorFlow may not find other variables again at a restart."""
        return adapter.left_out(optimizer=True)

    def read_record(self, at: Location) -> Record | None:
        """Return the record in lastgood's part."""
        return bundle.read_record(at)

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state in lastgood's part."""
        return bundle.read_training(at)

    def verify(self, at: Location) -> None:
        """Check every file against its digest."""
        bundle.verify(at)

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the files, and load them with stock tf_keras.

        TensorFlow reads variables that are not built yet when they are built, so a local copy is kept as long as the
        model.
        """
        if not verified:
            self.verify(at)
        with ExitStack() as stack:
            path = stack.enter_context(at.local())

            def fill() -> None:
                weakref.finalize(adapter.model, stack.pop_all().close)
                status = adapter.model.load_weights(str(path))
                if not exact:
                    return
                try:
                    status.assert_existing_objects_matched()
                except AssertionError as error:
                    raise RestoreError(
                        f"Error loading file from {at}. Reason: it does not match the model: {error}"
                    ) from error

            yield fill

    def may_replace(self, at: Location) -> bool:
        """Return True unless a directory has the index's name; one with the checkpoint's own name is no obstacle."""
        return at.with_name(at.name + groups.INDEX).kind != "directory"


def _make_latest(at: Location) -> None:
    """Let ``tf.train.latest_checkpoint`` find a checkpoint, as after stock saving."""
    from .._keras import tf_checkpoints  # here, because inspecting checkpoints must not import TensorFlow

    at.storage.put(at.parent.path / "checkpoint", tf_checkpoints.latest_state(at.name))
