"""A model with a ``save()`` or ``save_weights()`` of its own, which stock Keras calls: it says what is saved."""

from collections.abc import Callable
from contextlib import suppress

from .._bytes import directory_record
from .._record import Record
from .._storage import Location, Report, Stage, adopt, scratch_directory
from . import hdf5_by_stock, keras_archive
from .base import Snapshot

_NOTE = "this model has a method of its own that saves it, so training waits while that writes"
_LONGEST_MAGIC = 8


def snapshot(save: Callable[[str], object], at: Location, record: Record, training: bytes) -> Snapshot:
    """Have the model save itself.

    It gets a path in a scratch directory, whose last part is the one that the user asked for, and what it leaves there
    is committed: also files that it adds beside the checkpoint.

    Args:
        save: The model's method, which takes a path.
        at: Where the checkpoint is to appear.
        record: The record that it gets, where what was written has a place for one.
        training: The training state that it gets there.
    """

    def write(stage: Stage, report: Report) -> None:
        with scratch_directory() as directory:
            save(str(directory / at.name))
            adopt(directory, at, stage)
        report(stage.size())

    return Snapshot(write, lambda stage: _complete(stage, record, training), live=True, note=_NOTE)


def _complete(stage: Stage, record: Record, training: bytes) -> None:
    """Add the record to a file of a kind that is known; to any other, nothing can be added."""
    files = stage.files()
    if not stage.withdrawn and files == [""]:
        magic = b""
        with suppress(EOFError), stage.open("") as file:
            magic = file.read(0, min(file.size, _LONGEST_MAGIC))
        if magic == hdf5_by_stock.MAGIC:
            hdf5_by_stock.complete(stage, record, training)
        elif magic.startswith(b"PK"):
            keras_archive.complete(stage, record, training)
    elif not any(name.startswith(".") for name in files) and files:
        directory_record.write_record(stage, record, training)
