"""The record inside an HDF5 file: one attribute of the root group, which stock Keras never reads."""

from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from .._record import Record
from . import digests
from .hdf5_layout import RECORD


def write_record(path: Path, record: Record) -> None:
    """Add ``record`` to the finished HDF5 file at ``path``.

    Raises:
        OSError: The storage refused; HDF5 may say so in a ``RuntimeError``.
    """
    with h5py.File(path, "r+") as file:
        file.attrs[RECORD] = np.bytes_(record.to_json().encode())
    digests.seal_file(path)


def read_record(source: Path | BinaryIO) -> Record | None:
    """Return the record of an HDF5 file; None if there is none, or the file is no HDF5."""
    try:
        with h5py.File(source, "r") as file:
            text = file.attrs.get(RECORD)
    except OSError:
        return None
    return Record.from_json(text.decode(errors="replace")) if isinstance(text, bytes) else None
