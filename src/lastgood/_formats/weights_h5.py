"""``*.weights.h5``: Keras 3's weights file, written in one pass from the staging buffer."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .._record import Record
from .._snapshot import staging
from .._storage import direct
from . import digests, hdf5_record
from .base import BY_STOCK, Report, Snapshot, live

if TYPE_CHECKING:
    from .hdf5_layout import Hdf5Layout
    from .weights_plan import PlanCache


class WeightsH5:
    """Weights and optimizer state; the record is an attribute of the file's root."""

    name: ClassVar[str] = "weights.h5"
    suffix: ClassVar[str] = ".weights.h5"

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def prepare(self, model: Any) -> int:
        """Plan the layout, and return the length of the file."""
        found = self._plans.get(model)
        return found[0].layout.size if found else 0

    def snapshot(self, model: Any, record: Record) -> Snapshot:
        """Copy the tensors into the staging buffer, or leave all to stock Keras where the layout is not known."""
        text = record.to_json()
        found = self._plans.get(model, text)
        if found is None:
            return live(lambda path: self._write_with_stock(model, path, record), BY_STOCK)
        plan, state = found
        memory = staging.shared(plan.layout.size)
        plan.copy_into(memory, state)
        return Snapshot(lambda path, report: _write(path, report, memory, plan.layout, text), plan.layout.size)

    def _write_with_stock(self, model: Any, path: Path, record: Record) -> None:
        model.save_weights(path)
        hdf5_record.write_record(path, record)

    @cached_property
    def _plans(self) -> "PlanCache":
        from .weights_plan import PlanCache  # here, because looking at checkpoints must not import Keras

        return PlanCache(standalone=True)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the file's root attributes."""
        return hdf5_record.read_record(path)

    def load_weights(self, model: Any, path: Path) -> None:
        """Check the file, and read the tensors straight into the model."""
        from . import weights_restore

        weights_restore.load(model, path, None, hdf5_record.read_text(path))

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()


def _write(path: Path, report: Report, memory: staging.Memory, layout: "Hdf5Layout", record: str) -> None:
    layout.put_metadata(memory, record)

    def seal() -> tuple[int, list[tuple[int, int]]]:
        layout.put_digests(memory)
        digits = digests.seal(memory[: layout.size], layout.tensors, layout.record)
        return layout.size, [layout.digests, digits]

    direct.write_file(path, memory, (0, layout.size), seal, report)
