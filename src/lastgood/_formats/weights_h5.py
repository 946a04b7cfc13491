"""``*.weights.h5``: Keras 3's weights file, written in one pass from the staging buffer."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _frameworks
from .._layout import digests, trailing_record, weights_file
from .._layout.training_block import Training
from .._record import Record, RecordText
from .._snapshot import staging
from .._snapshot.taking import Taking
from .._storage import direct
from .._storage.positioned import PositionedFile
from . import hdf5_by_stock
from .base import BY_STOCK, USUAL_RECORD, Report, Snapshot, WhenAlike, to_bytes

if TYPE_CHECKING:
    from .._layout.hdf5_layout import Hdf5Layout
    from .._layout.weights_plan import Filled, PlanCache


class WeightsH5:
    """Weights and optimizer state; the record is behind the HDF5 file's end."""

    name = "weights.h5"
    takes_options = False
    suffix = ".weights.h5"

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Plan the layout, and return about the length of the file."""
        found = self._plans.get(model, training)
        return found.plan.layout.size + USUAL_RECORD if found else 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Copy the tensors into the staging buffer, or leave all to stock Keras where the layout is not known."""
        found = self._plans.get(model, training)
        if found is None:
            content = to_bytes(model, training(self.unsaved_variables(model)))
            write = partial(_frameworks.of(model).save_weights, model)
            size = hdf5_by_stock.about(_frameworks.state_bytes(model))
            return hdf5_by_stock.snapshot(write, size, record, content, note=BY_STOCK)
        weights = staged(model, found, record)
        return Snapshot(weights.write, size=weights.size, taking=weights.taking)

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return what stock saving leaves out."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=True)

    @cached_property
    def _plans(self) -> "PlanCache":
        from .._layout.weights_plan import PlanCache  # here, because looking at checkpoints must not import Keras

        return PlanCache(assets=False)

    def read_record(self, path: Path) -> Record | None:
        """Return the record at the file's end."""
        return trailing_record.read(path)

    def read_training(self, path: Path) -> bytes | None:
        """Read the data set that it is."""
        with PositionedFile(path) as file:
            return weights_file.read_training(file, (0, file.size))

    def verify(self, path: Path) -> None:
        """Check the file against its digests."""
        with PositionedFile(path) as file:
            weights_file.verify(file, (0, file.size), trailing_record.find(file))

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the file, and read the tensors straight into the model."""
        from .._layout import weights_restore

        with PositionedFile(path) as file:
            weights_restore.load(model, file, (0, file.size), trailing_record.find(file), when_alike=when_alike)

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()


def staged(model: Any, filled: "Filled", record: Record) -> "Staged":
    """Have the tensors of ``model`` copied to their places in the staging buffer."""
    plan = filled.plan
    text = record.to_text(plan.layout.digests)
    size = plan.layout.size + len(trailing_record.encode(text))
    memory = staging.shared(size)[: direct.whole_blocks(size)]
    taking = Taking(lambda reached: plan.copy_into(memory, filled, model, reached), size)
    return Staged(memory, plan.layout, text, size, taking)


@dataclass(frozen=True)
class Staged:
    """A weights file whose tensors come to the staging buffer.

    Attributes:
        memory: The buffer.
        layout: Where all else of the file goes in it.
        record: The record that it gets.
        size: Its length in bytes.
        taking: Brings the tensors there.
    """

    memory: staging.Memory
    layout: "Hdf5Layout"
    record: RecordText
    size: int
    taking: Taking

    def write(self, path: Path, report: Report) -> None:
        """Write the file, with its record and digests.

        Raises:
            OSError: The storage refused.
        """
        self.layout.put_metadata(self.memory)

        def seal() -> tuple[int, list[direct.Place]]:
            self.layout.put_digests(self.memory)
            at, end = self.layout.size, trailing_record.encode(self.record)
            self.memory[at : self.size] = np.frombuffer(end, np.uint8)
            digests.seal(self.memory[: self.size], self.layout.tensors, at, self.record)
            return self.size, [self.layout.digests, (at, len(end))]

        direct.write_file(path, self.memory, (0, self.layout.size), seal, report, self.taking.wait_for)
