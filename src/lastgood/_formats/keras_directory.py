"""No ending, whole model: Keras 3's model archive as a directory."""

import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _frameworks
from .._layout import directory_record, trailing_record, weights_file
from .._layout.training_block import Training
from .._record import Record
from .._storage.positioned import PositionedFile
from . import weights_h5
from .base import BY_STOCK, USUAL_RECORD, Report, Snapshot, WhenAlike, live, to_bytes

if TYPE_CHECKING:
    from .._layout.weights_plan import PlanCache

_WEIGHTS = "model.weights.h5"
_MARKERS = {"config.json", "metadata.json", _WEIGHTS}


class KerasDirectory:
    """A whole model as ``config.json``, ``metadata.json``, ``model.weights.h5`` and ``assets/``."""

    name = "keras directory"
    takes_options = False
    suffix = ""

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Plan the layout of the weights file, and return about its length."""
        found = self._plans.get(model, training)
        texts = _frameworks.of(model).serialized(model) if found else None  # the first time, it imports what it needs
        return found.plan.layout.size + USUAL_RECORD if found and texts else 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Copy the tensors into the staging buffer, or leave all to stock Keras where the layout is not known."""
        found = self._plans.get(model, training)
        texts = _frameworks.of(model).serialized(model) if found else None
        if found is None or texts is None:
            content = to_bytes(model, training(self.unsaved_variables(model)))
            return live(
                lambda path: _save_and_unpack(model, path),
                lambda path: directory_record.write_record(path, record, content),
                note=BY_STOCK,
            )
        weights, content = weights_h5.staged(model, found, record), to_bytes(model, found.block)
        files = {"config.json": texts[0], "metadata.json": texts[1]}
        files |= {f"assets/{name}": content for name, content in found.state.assets.items()}

        def write(path: Path, report: Report) -> None:
            for name, content in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(content)
            weights.write(path / _WEIGHTS, report)

        return Snapshot(
            write,
            lambda path: directory_record.write_record(path, record, content),
            size=weights.size,
            taking=weights.taking,
        )

    @cached_property
    def _plans(self) -> "PlanCache":
        from .._layout.weights_plan import PlanCache  # here, because looking at checkpoints must not import Keras

        return PlanCache(assets=True)

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
        with PositionedFile(path / _WEIGHTS) as file:
            weights_file.verify(file, (0, file.size), trailing_record.find(file))

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the files, and load the weights file; stock Keras takes no directory of this kind here."""
        from .._layout import weights_restore  # here, because looking at checkpoints must not import Keras

        if when_alike is None:
            directory_record.verify(path)
        with PositionedFile(path / _WEIGHTS) as file:
            weights_restore.load(model, file, (0, file.size), trailing_record.find(file), when_alike=when_alike)

    def may_replace(self, path: Path) -> bool:
        """A directory replaces an older one of its kind, or an empty one."""
        return not path.exists() or directory_record.is_checkpoint(path, _MARKERS)


def _save_and_unpack(model: Any, path: Path) -> None:
    """Have stock Keras write an archive, and unpack it.

    To a directory it writes by HDF5, which can end the process on a full disk.
    """
    path.mkdir(exist_ok=True)
    packed = path / "model.keras"
    model.save(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(path)
    packed.unlink()
