"""``*.h5`` and ``*.hdf5``: the HDF5 files of Keras 2, which Keras 3 still reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .._bytes import trailing_record, weights_file
from .._bytes.training_block import Training
from .._errors import ArgumentError
from .._keras import Generation, ModelAdapter, ModelLoader
from .._record import Record
from .._storage import Extent, Location
from .base import FileFormat, Fill, Snapshot, holds_no_model, to_bytes
from .hdf5_by_stock import about, snapshot

if TYPE_CHECKING:
    import h5py

_UNREADABLE = ("bfloat16", "float8")


class LegacyModel(FileFormat):
    """A whole model in one HDF5 file."""

    name = "h5"
    endings = {"keras": (".h5", ".hdf5"), "tf_keras": (".h5", ".hdf5")}
    weights_only = False
    describes = "legacy"
    _has_optimizer: ClassVar[bool] = True

    def __init__(self, ending: str = "", generation: Generation = "keras", options: Any = None) -> None:
        """Store what selected the format; stock tf_keras passes ``options`` to its writer, which ignores them."""
        super().__init__(ending, generation, options)
        self.suffix = ending if ending == ".keras" else ".h5"
        self.takes_options = generation == "tf_keras" and ending != ".keras"

    def check_model(self, adapter: ModelAdapter) -> None:
        """Check that HDF5 has every variable's type: Keras writes others, but cannot read them."""
        super().check_model(adapter)
        for variable in adapter.weights():
            dtype = adapter.dtype_of(variable)
            if dtype.startswith(_UNREADABLE):
                raise ArgumentError(
                    f"The variable '{adapter.path_of(variable)}' is of type {dtype}, which stock Keras writes to a "
                    "legacy HDF5 file but cannot read from it. End the path in '.weights.h5' or '.keras'."
                )

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Return the approximate length of the file; there is no plan, since stock Keras lays it out at each save."""
        del training
        return about(adapter.state_bytes(optimizer=self._has_optimizer))

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Let stock Keras write to the staging buffer."""
        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
        return snapshot(lambda file: self._write(adapter, file), self.prepare(adapter, training), record, content)

    def _write(self, adapter: ModelAdapter, file: "h5py.File") -> None:
        """Write with stock Keras."""
        adapter.save_legacy_model(file)

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return all but the weights: stock loading takes no optimizer state from this layout."""
        return adapter.unsaved_variables(optimizer=False)

    def read_record(self, at: Location) -> Record | None:
        """Return the record at the file's end."""
        return trailing_record.read(at)

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state from its dataset."""
        with at.open() as file:
            return weights_file.read_training(file, Extent(0, file.size))

    def verify(self, at: Location) -> None:
        """Check the file against its digests, and check that it holds only arrays, without links elsewhere."""
        with at.open() as file:
            weights_file.verify(file, Extent(0, file.size), trailing_record.find(file), legacy=True)

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the file, and load it with stock Keras."""
        del exact  # stock Keras compares layers and shapes
        if not verified:
            self.verify(at)
        with at.local() as path:
            yield lambda: adapter.model.load_weights(path)

    def load_model(self, at: Location, loader: ModelLoader) -> Any:
        """Check the file, and load it with stock Keras; also load a directory that no format recognizes."""
        if at.kind == "directory":
            with at.local() as path:
                return loader.whole(str(path))
        self.verify(at)
        with at.local() as path:
            if not _has_model(path):
                raise holds_no_model(at)
            return loader.whole(str(path))


def _has_model(path: Path) -> bool:
    import h5py  # here, because inspecting checkpoints does not need it

    with h5py.File(path) as file:
        return "model_config" in file.attrs


class LegacyWeights(LegacyModel):
    """Weights only, keyed by layer name; the legacy layout has no place for the optimizer."""

    name = "h5 weights"
    endings = {"keras": (".h5", ".hdf5"), "tf_keras": (".h5", ".hdf5", ".keras")}
    weights_only = True
    _has_optimizer = False

    def _write(self, adapter: ModelAdapter, file: "h5py.File") -> None:
        """Write the layout that stock ``load_weights`` reads."""
        adapter.save_legacy_weights(file)
