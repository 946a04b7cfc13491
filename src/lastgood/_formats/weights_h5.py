"""``*.weights.h5``: Keras 3's weights file, written in one pass from the staging buffer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .._bytes import digests, trailing_record, weights_file
from .._bytes.training_block import Training
from .._keras import ModelAdapter
from .._record import Record, RecordText
from .._snapshot import staging
from .._snapshot.state_copy import StateCopy
from .._storage import Extent, Image, Location, Report, Span, Stage, direct
from . import hdf5_by_stock, window
from .base import BY_STOCK, USUAL_RECORD, FileFormat, Fill, Places, Snapshot, to_bytes
from .weights_plan import FilledPlan, PlannedFormat

if TYPE_CHECKING:
    from .._bytes.hdf5_layout import Hdf5Layout


class WeightsH5(PlannedFormat, FileFormat):
    """Weights and optimizer state; the record follows the end of the HDF5 file."""

    name = "weights.h5"
    endings = {"keras": (".weights.h5",), "tf_keras": (".weights.h5",)}
    weights_only = True
    describes = "weights only"
    exports = True
    suffix = ".weights.h5"

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Plan the layout, and return the approximate length of the file."""
        found = self.plans.get(adapter, training)
        return found.plan.layout.size + USUAL_RECORD if found else 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy the tensors to the staging buffer, or let stock Keras write everything if the layout is not known."""
        found = self.plans.get(adapter, training)
        if found is None:
            content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
            size = hdf5_by_stock.about(adapter.state_bytes())
            return hdf5_by_stock.snapshot(adapter.save_weights, size, record, content, note=BY_STOCK)
        weights = staged(adapter, found, record)

        def write(stage: Stage, report: Report) -> None:
            stage.write_image("", weights.image(), report)

        return Snapshot(write, size=weights.size, copy=weights.copy, places=weights.places)

    def read_record(self, at: Location) -> Record | None:
        """Return the record at the file's end."""
        return trailing_record.read(at)

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state from its dataset."""
        with at.open() as file:
            return weights_file.read_training(file, Extent(0, file.size))

    def verify(self, at: Location) -> None:
        """Check the file against its digests."""
        with at.open() as file:
            weights_file.verify(file, Extent(0, file.size), trailing_record.find(file))

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the file, and read the tensors directly into the model."""
        from . import weights_load  # here, because inspecting checkpoints loads no weights

        with at.open() as file:
            loader = weights_load.Loader(adapter, at, file, Extent(0, file.size), trailing_record.find(file))
            loader.check(verified=verified, exact=exact)
            yield loader.fill


def staged(adapter: ModelAdapter, filled: FilledPlan, record: Record) -> "StagedWeights":
    """Return a weights file whose tensors are copied, or ready to be copied, to the staging buffer."""
    plan = filled.plan
    text = record.to_text(plan.layout.digests)
    size = plan.layout.size + len(trailing_record.encode(text))
    memory = staging.shared(size)[: direct.whole_blocks(size)]
    copy = StateCopy(partial(plan.copy_into, memory, filled, adapter), size)
    return StagedWeights(memory, plan.layout, text, size, copy, partial(plan.places, memory, filled.state))


@dataclass(frozen=True)
class StagedWeights:
    """A weights file whose tensors are copied to the staging buffer.

    Attributes:
        memory: The buffer.
        layout: The layout of the file in it.
        record: The record to add.
        size: The file's length in bytes.
        copy: Copies the tensors to the buffer.
        places: Returns the places of the values of some variables in the buffer.
    """

    memory: staging.Memory
    layout: "Hdf5Layout"
    record: RecordText
    size: int
    copy: StateCopy
    places: Places

    def image(self) -> Image:
        """Return the file for a storage to write, with its record and digests."""
        self.layout.put_metadata(self.memory)
        running = digests.Running(self.memory, self.layout.tensors) if self.copy.window else None

        def seal() -> tuple[int, list[Extent]]:
            self.layout.put_digests(self.memory, running)
            at, end = self.layout.size, trailing_record.encode(self.record)
            self.memory[at : self.size] = np.frombuffer(end, np.uint8)
            digests.seal(self.memory[: self.size], self.layout.tensors, at, self.record)
            return self.size, [self.layout.digests, Extent(at, len(end))]

        passed = partial(window.move, self.copy, running, 0) if running else None
        return Image(self.memory, Span(0, self.layout.size), seal, self.copy.wait_for, passed)
