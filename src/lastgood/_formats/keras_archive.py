"""``*.keras``: Keras 3's model archive, a zip, written in one pass from the staging buffer."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _frameworks
from .._errors import CorruptCheckpointError
from .._layout import digests, weights_file, zip_layout
from .._layout.training_block import Training
from .._record import Record, RecordText
from .._snapshot import staging
from .._snapshot.taking import Reached, Taking
from .._storage import direct
from .._storage.positioned import PositionedFile
from .base import BY_STOCK, USUAL_RECORD, Report, Snapshot, WhenAlike, live, to_bytes

if TYPE_CHECKING:
    from .._layout.hdf5_layout import Hdf5Layout
    from .._layout.weights_plan import PlanCache


_TRAINING = "lastgood.training"


class KerasArchive:
    """The whole model; the record is the zip's comment.

    It is no further member: stock Keras unpacks an archive of more than three members to a temporary directory before
    it loads it, which would double what loading costs.
    """

    name = "keras"
    takes_options = False
    suffix = ".keras"

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def prepare(self, model: Any, training: Training) -> int:
        """Plan the layout, and return about the length of the archive."""
        found = self._plans.get(model, training)
        texts = _frameworks.of(model).serialized(model) if found else None  # the first time, it imports what it needs
        if found is None or texts is None:
            return 0
        plan, state, _ = found
        return _image(plan.layout, texts, state.assets, RecordText(" " * USUAL_RECORD)).longest

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Copy the tensors to their places in the staging buffer, or leave all to stock Keras if they have none."""
        found = self._plans.get(model, training)
        texts = _frameworks.of(model).serialized(model) if found else None
        if found is None or texts is None:
            content = to_bytes(model, training(self.unsaved_variables(model)))
            return live(model.save, lambda path: _complete(path, record, content), note=BY_STOCK)
        plan = found.plan
        image = _image(plan.layout, texts, found.state.assets, _comment(record, plan.layout.digests))
        memory = staging.shared(image.longest)

        def copy(reached: Reached) -> None:
            plan.copy_into(memory[image.start :], found, model, lambda stop: reached(image.start + stop))

        taking = Taking(copy, image.longest)
        write = partial(image.write, memory=memory, wait_for=taking.wait_for)
        return Snapshot(write, size=image.longest, taking=taking)

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return what stock saving leaves out."""
        return _frameworks.of(model).unsaved_variables(model, optimizer=True)

    @cached_property
    def _plans(self) -> "PlanCache":
        from .._layout.weights_plan import PlanCache

        return PlanCache(assets=True)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the zip's comment, whatever else of the archive is damaged."""
        try:
            with PositionedFile(path) as file:
                _, comment = zip_layout.find_comment(file)
        except (OSError, CorruptCheckpointError):
            return None
        return Record.from_text(RecordText(comment.decode(errors="replace")))

    def read_training(self, path: Path) -> bytes | None:
        """Read the data set that it is in the weights file, or the member where stock Keras wrote that."""
        with zip_layout.opened(path) as (archive, file):
            if _TRAINING not in archive.namelist():
                return weights_file.read_training(file, zip_layout.place_of(archive, file, zip_layout.WEIGHTS))
            return file.read(*zip_layout.place_of(archive, file, _TRAINING))

    def verify(self, path: Path) -> None:
        """Check the archive against its digests."""
        place, comment = zip_layout.place_of_weights(path)
        with _naming_members(path), PositionedFile(path) as file:
            weights_file.verify(file, place, _record_of(file, comment))

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the archive, and read the tensors straight into the model."""
        from .._layout import weights_restore

        place, comment = zip_layout.place_of_weights(path)
        with _naming_members(path), PositionedFile(path) as file:
            weights_restore.load(model, file, place, _record_of(file, comment), when_alike=when_alike)

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()


@contextmanager
def _naming_members(path: Path) -> Iterator[None]:
    """Have damage around the tensors told with the member of the archive that it is in, if it is in one."""
    try:
        yield
    except CorruptCheckpointError as error:
        member = zip_layout.damaged_member(path) if error.region == digests.AROUND else None
        if member is None:
            raise
        raise CorruptCheckpointError(path, f"the member {member!r}") from None


def _record_of(file: PositionedFile, comment: bytes) -> tuple[int, RecordText] | None:
    return (file.size - len(comment), RecordText(comment.decode(errors="replace"))) if comment else None


def _complete(path: Path, record: Record, training: bytes) -> None:
    """Add the record to what stock Keras wrote, and the training state as a member: the weights are in it by then."""
    text = _comment(record, None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_TRAINING, training)
        archive.comment = text.text.encode()
    digests.seal_file(path, path.stat().st_size - len(archive.comment), text)


def _comment(record: Record, table: tuple[int, int] | None) -> RecordText:
    """Return the record's text, without its metrics if it would be longer than a zip's comment can be."""
    text = record.to_text(table)
    return text if len(text.text.encode()) <= zipfile.ZIP_MAX_COMMENT else replace(record, metrics={}).to_text(table)


def _image(
    layout: "Hdf5Layout", texts: tuple[bytes, bytes], assets: Mapping[str, bytes], record: RecordText
) -> "_Image":
    config, metadata = texts
    before = {"metadata.json": metadata, "config.json": config}
    return _Image(layout, before, {f"assets/{name}": content for name, content in assets.items()}, record)


@dataclass(frozen=True)
class _Image:
    """An archive whose tensors come to the staging buffer, and what is to be written around them."""

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

    def write(self, path: Path, report: Report, *, memory: staging.Memory, wait_for: Callable[[int], None]) -> None:
        start, stop = self.start, self.start + self.layout.size
        weights = memory[start:stop]
        self.layout.put_metadata(weights)

        def seal() -> tuple[int, list[direct.Place]]:
            table, text = self.layout.put_digests(weights), self.record.text
            crc = digests.of_whole(weights, self.layout.tensors, table)
            length = zip_layout.finish(memory, start, stop - start, crc, self.before, self.after, text)
            tensors = [(start + offset, size) for offset, size in self.layout.tensors]
            digests.seal(memory[:length], tensors, length - len(text.encode()), self.record)
            offset, size = self.layout.digests
            return length, [(0, start), (start + offset, size), (stop, length - stop)]

        direct.write_file(path, memory, (start, stop), seal, report, wait_for)
