"""Saves of a model that overrides ``save()`` or ``save_weights()``: its method decides what is saved."""

from collections.abc import Callable
from contextlib import suppress

from .._bytes import directory_record
from .._record import Record
from .._storage import Location, Report, Stage, adopt, scratch_directory
from . import hdf5_by_stock, keras_archive
from .base import Snapshot

_NOTE = "this model overrides the method that saves it, so training waits while that method writes"
_LONGEST_MAGIC = 8


def snapshot(save: Callable[[str], object], at: Location, record: Record, training: bytes) -> Snapshot:
    """Return a snapshot that the model's own method writes.

    The method gets a path in a scratch directory; the last component is the name that the user asked for. Everything
    that it leaves there is committed, including files that it adds next to the checkpoint.

    Args:
        save: The model's method, which takes a path.
        at: Where the checkpoint will appear.
        record: The record to add, if what was written has a place for one.
        training: The training state to add with the record.
    """

    def write(stage: Stage, report: Report) -> None:
        with scratch_directory() as directory:
            save(str(directory / at.name))
            adopt(directory, at, stage)
        report(stage.size())

    return Snapshot(write, lambda stage: _complete(stage, record, training), live=True, note=_NOTE)


def _complete(stage: Stage, record: Record, training: bytes) -> None:
    """Add the record to an HDF5 file, a zip archive or a directory; nothing can be added to anything else."""
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
