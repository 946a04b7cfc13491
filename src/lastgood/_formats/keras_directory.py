"""A path without an ending, whole model: Keras 3's model archive as a directory."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .._bytes import directory_record, trailing_record, weights_file, zip_layout
from .._bytes.training_block import Training
from .._errors import CorruptCheckpointError
from .._json import LONGEST
from .._keras import ModelAdapter, ModelLoader
from .._record import Record
from .._storage import Extent, Location, Report, Stage, StoredFile
from . import weights_h5
from .base import BY_STOCK, USUAL_RECORD, Fill, Snapshot, live, to_bytes
from .directory import DirectoryFormat
from .weights_plan import PlannedFormat

_WEIGHTS = zip_layout.WEIGHTS


class KerasDirectory(PlannedFormat, DirectoryFormat):
    """A whole model as ``config.json``, ``metadata.json``, ``model.weights.h5`` and ``assets/``."""

    name = "keras directory"
    endings = {"keras": ("",)}
    weights_only = False
    describes = "whole model"
    exports = True
    markers = {"config.json", "metadata.json", _WEIGHTS}

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Plan the layout of the weights file, and return its approximate length."""
        found = self.plans.get(adapter, training)
        texts = adapter.serialized() if found else None  # the first call imports what it needs
        return found.plan.layout.size + USUAL_RECORD if found and texts else 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy the tensors to the staging buffer, or let stock Keras write everything if the layout is not known."""
        found = self.plans.get(adapter, training)
        texts = adapter.serialized() if found else None
        if found is None or texts is None:
            content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
            return live(
                lambda path: _save_and_unpack(adapter.model, path),
                lambda stage: directory_record.write_record(stage, record, content),
                note=BY_STOCK,
            )
        weights, content = weights_h5.staged(adapter, found, record), to_bytes(adapter, found.block)
        files = {"config.json": texts[0], "metadata.json": texts[1]}
        files |= {f"assets/{name}": content for name, content in found.state.assets.items()}

        def write(stage: Stage, report: Report) -> None:
            for name, content in files.items():
                stage.write(name, content)
            stage.write_image(_WEIGHTS, weights.image(), report)

        return Snapshot(
            write,
            lambda stage: directory_record.write_record(stage, record, content),
            size=weights.size,
            copy=weights.copy,
            places=weights.places,
        )

    def verify(self, at: Location) -> None:
        """Check every file against its digest, and that the weights file can be read."""
        super().verify(at)
        with at.open(_WEIGHTS) as file:
            weights_file.verify(file, Extent(0, file.size), trailing_record.find(file))

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the files, and load the weights file, since stock Keras cannot load weights from such a directory."""
        from . import weights_load  # here, because inspecting checkpoints loads no weights

        if not verified:
            directory_record.verify(at)
        with at.open(_WEIGHTS) as file:
            place = Extent(0, file.size)
            loader = weights_load.Loader(adapter, at / _WEIGHTS, file, place, trailing_record.find(file))
            loader.check(verified=verified, exact=exact)
            yield loader.fill

    def load_model(self, at: Location, loader: ModelLoader) -> Any:
        """Check the files, let stock Keras build the model, and read the tensors directly into it."""
        from . import weights_load  # here, because inspecting checkpoints loads no weights

        self.verify(at)
        config = (at / "config.json").read(LONGEST)
        assets = any(name.startswith("assets/") for name in at.files())
        with at.open(_WEIGHTS) as file:
            place, record = Extent(0, file.size), trailing_record.find(file)
            weights = partial(weights_load.Loader, at=at / _WEIGHTS, file=file, place=place, record=record)
            return weights_load.load_model(loader, at, config, weights, by_stock=assets)

    @contextmanager
    def arrays(self, at: Location) -> Iterator[tuple[StoredFile, Extent]]:
        """Open the directory's weights file."""
        if (at / _WEIGHTS).kind is None:
            raise CorruptCheckpointError(at, f"the file {_WEIGHTS!r}", "it is missing")
        with at.open(_WEIGHTS) as file:
            yield file, Extent(0, file.size)

    def config(self, at: Location) -> bytes | None:
        """Return the file ``config.json``."""
        return (at / "config.json").read(LONGEST)

    def copy_with_weights(self, at: Location, weights: Path, target: Path) -> None:
        """Make a ``.keras`` file with other weights."""
        with zipfile.ZipFile(target, "w") as archive:
            for name in at.files():
                if name in ("config.json", "metadata.json") or name.startswith("assets/"):
                    archive.writestr(name, (at / name).read(LONGEST))
            archive.write(weights, _WEIGHTS)


def _save_and_unpack(model: Any, path: Path) -> None:
    """Let stock Keras write an archive, and unpack it.

    Keras uses HDF5 to write to a directory, and HDF5 can end the process on a full disk.
    """
    path.mkdir(exist_ok=True)
    packed = path / "model.keras"
    model.save(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(path)
    packed.unlink()
