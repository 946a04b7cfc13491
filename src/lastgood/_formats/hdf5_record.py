"""The record inside an HDF5 file: one attribute of the root group, which stock Keras never reads."""

from pathlib import Path
from typing import BinaryIO

import h5py

from .._record import Record

_ATTRIBUTE = "lastgood"


def write_record(path: Path, record: Record) -> None:
    """Add ``record`` to the finished HDF5 file at ``path``.

    Raises:
        OSError: The storage refused; HDF5 may say so in a ``RuntimeError``.
    """
    with h5py.File(path, "r+") as file:
        file.attrs[_ATTRIBUTE] = record.to_json()


def read_record(source: Path | BinaryIO) -> Record | None:
    """Return the record of an HDF5 file; None if there is none, or the file is no HDF5."""
    try:
        with h5py.File(source, "r") as file:
            text = file.attrs.get(_ATTRIBUTE)
    except OSError:
        return None
    return Record.from_json(text) if isinstance(text, str) else None
