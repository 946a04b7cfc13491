"""``*.keras``: Keras 3's model archive, a zip, written in one pass from the staging buffer."""

import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._bytes import digests, weights_file, zip_layout
from .._bytes.training_block import Training
from .._errors import CorruptCheckpointError
from .._keras import ModelAdapter, ModelLoader
from .._record import Record, RecordText
from .._snapshot import staging
from .._snapshot.state_copy import Reached, StateCopy
from .._storage import Extent, Image, Location, Report, Span, Stage, StoredFile
from .._storage.base import Kind
from . import window
from .base import BY_STOCK, USUAL_RECORD, FileFormat, Fill, Snapshot, live, to_bytes
from .hdf5_by_stock import MAGIC
from .weights_plan import PlannedFormat

if TYPE_CHECKING:
    from .._bytes.hdf5_layout import Hdf5Layout


_CONFIG, _METADATA = "config.json", "metadata.json"
_TRAINING = "lastgood.training"


class KerasArchive(PlannedFormat, FileFormat):
    """A whole model; the record is the zip's comment.

    The record is not a member of its own: before loading, stock Keras unpacks an archive of more than three members to
    a temporary directory, which would double the cost of loading.
    """

    name = "keras"
    endings = {"keras": (".keras",), "tf_keras": (".keras",)}
    weights_only = False
    describes = "whole model"
    exports = True
    suffix = ".keras"

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if the path has the ending, unless it is an HDF5 file: tf_keras writes only weights that way."""
        return super().is_at(at, kind, names) and not _is_hdf5(at)

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Plan the layout, and return the approximate length of the archive."""
        found = self.plans.get(adapter, training)
        texts = adapter.serialized() if found else None  # the first call imports what it needs
        if found is None or texts is None:
            return 0
        return _archive(found.plan.layout, texts, found.state.assets, RecordText(" " * USUAL_RECORD)).longest

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy the tensors to the staging buffer, or let stock Keras write everything if the layout is not known."""
        found = self.plans.get(adapter, training)
        texts = adapter.serialized() if found else None
        if found is None or texts is None:
            content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
            return live(adapter.model.save, lambda stage: complete(stage, record, content), note=BY_STOCK)
        plan = found.plan
        archive = _archive(plan.layout, texts, found.state.assets, _comment(record, plan.layout.digests))
        memory = staging.shared(archive.longest)

        def copy(reached: Reached, most: int) -> None:
            plan.copy_into(memory[archive.start :], found, adapter, lambda stop: reached(archive.start + stop), most)

        state = StateCopy(copy, archive.longest)
        places = partial(plan.places, memory[archive.start :], found.state)
        write = partial(archive.write, memory=memory, state=state)
        return Snapshot(write, size=archive.longest, copy=state, places=places)

    def read_record(self, at: Location) -> Record | None:
        """Return the record in the zip's comment, even if other parts of the archive are damaged."""
        try:
            with at.open() as file:
                _, comment = zip_layout.find_comment(file)
        except (OSError, CorruptCheckpointError):
            return None
        return Record.from_text(RecordText(comment.decode(errors="replace")))

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state from the weights file, or from a member if stock Keras wrote the archive."""
        with zip_layout.opened(at) as (archive, file):
            if _TRAINING not in archive.namelist():
                return weights_file.read_training(file, zip_layout.place_of(archive, file, zip_layout.WEIGHTS))
            return file.read(*zip_layout.place_of(archive, file, _TRAINING))

    def verify(self, at: Location) -> None:
        """Check the archive against its digests."""
        place, comment = zip_layout.place_of_weights(at)
        with _naming_members(at), at.open() as file:
            weights_file.verify(file, place, _record_of(file, comment))

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the archive, and read the tensors directly into the model."""
        from . import weights_load  # here, because inspecting checkpoints loads no weights

        place, comment = zip_layout.place_of_weights(at)
        with _naming_members(at), at.open() as file:
            loader = weights_load.Loader(adapter, at, file, place, _record_of(file, comment))
            loader.check(verified=verified, exact=exact)
            yield loader.fill

    def load_model(self, at: Location, loader: ModelLoader) -> Any:
        """Check the archive, let stock Keras build the model, and read the tensors directly into it."""
        from . import weights_load  # here, because inspecting checkpoints loads no weights

        self.verify(at)
        with zip_layout.opened(at) as (archive, _):
            config, others = archive.read(_CONFIG), set(archive.namelist()) - {_CONFIG, _METADATA, zip_layout.WEIGHTS}
        place, comment = zip_layout.place_of_weights(at)
        with at.open() as file:
            weights = partial(weights_load.Loader, at=at, file=file, place=place, record=_record_of(file, comment))
            return weights_load.load_model(loader, at, config, weights, by_stock=bool(others))

    def arrays(self, at: Location) -> AbstractContextManager[tuple[StoredFile, Extent]]:
        """Open the archive's weights file."""
        return zip_layout.opened_weights(at)

    def config(self, at: Location) -> bytes | None:
        """Return the member ``config.json``."""
        with zip_layout.opened(at) as (archive, _):
            return archive.read(_CONFIG)

    def copy_with_weights(self, at: Location, weights: Path, target: Path) -> None:
        """Copy an archive to ``target``, with other weights."""
        with zip_layout.opened(at) as (source, _), zipfile.ZipFile(target, "w") as archive:
            for info in source.infolist():
                if info.filename in (_METADATA, _CONFIG) or info.filename.startswith("assets/"):
                    archive.writestr(info.filename, source.read(info))
            archive.write(weights, zip_layout.WEIGHTS)


def _is_hdf5(at: Location) -> bool:
    try:
        with at.open() as file:
            return file.size >= len(MAGIC) and file.read(0, len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def _naming_members(at: Location) -> Iterator[None]:
    """Make errors about damage outside the tensors name the damaged member of the archive, if there is one."""
    try:
        yield
    except CorruptCheckpointError as error:
        member = zip_layout.damaged_member(at) if error.region == digests.AROUND else None
        if member is None:
            raise
        raise CorruptCheckpointError(at, f"the member {member!r}") from None


def _record_of(file: StoredFile, comment: bytes) -> tuple[int, RecordText] | None:
    return (file.size - len(comment), RecordText(comment.decode(errors="replace"))) if comment else None


def complete(stage: Stage, record: Record, training: bytes) -> None:
    """Add the record and the training state, as a member, to an archive whose weights stock Keras has written."""
    text = _comment(record, None)
    with zipfile.ZipFile(stage.path, "a") as archive:
        archive.writestr(_TRAINING, training)
        archive.comment = text.text.encode()
    digests.seal_file(stage.path, stage.size() - len(text.text.encode()), text)


def _comment(record: Record, table: Extent | None) -> RecordText:
    """Return the record's text, without its metrics if it would otherwise be too long for a zip's comment."""
    text = record.to_text(table)
    return text if len(text.text.encode()) <= zipfile.ZIP_MAX_COMMENT else replace(record, metrics={}).to_text(table)


def _archive(
    layout: "Hdf5Layout", texts: tuple[bytes, bytes], assets: Mapping[str, bytes], record: RecordText
) -> "_StagedArchive":
    config, metadata = texts
    before = {_METADATA: metadata, _CONFIG: config}
    return _StagedArchive(layout, before, {f"assets/{name}": content for name, content in assets.items()}, record)


@dataclass(frozen=True)
class _StagedArchive:
    """An archive whose tensors are copied to the staging buffer, and the data to write around them."""

    layout: "Hdf5Layout"
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    record: RecordText

    @property
    def start(self) -> int:
        return zip_layout.start_of_weights(self.before)

    @property
    def longest(self) -> int:
        return zip_layout.length_with(self.start, self.layout.size, self.after, self.record.text)

    def write(self, stage: Stage, report: Report, *, memory: staging.Memory, state: StateCopy) -> None:
        body = Span(self.start, self.start + self.layout.size)
        weights = memory[body.start : body.stop]
        self.layout.put_metadata(weights)
        running = digests.Running(weights, self.layout.tensors) if state.window else None

        def seal() -> tuple[int, list[Extent]]:
            table, text = self.layout.put_digests(weights, running), self.record.text
            crc = digests.of_whole(weights, self.layout.tensors, table, join_all=running is not None)
            size = self.layout.size
            length = zip_layout.finish(memory, body.start, size, crc, self.before, self.after, text)
            tensors = [Extent(body.start + offset, size) for offset, size in self.layout.tensors]
            digests.seal(memory[:length], tensors, length - len(text.encode()), self.record)
            offset, size = self.layout.digests
            filled = [(0, body.start), (body.start + offset, size), (body.stop, length - body.stop)]
            return length, [Extent(*each) for each in filled]

        passed = partial(window.move, state, running, body.start) if running else None
        stage.write_image("", Image(memory, body, seal, state.wait_for, passed), report)
