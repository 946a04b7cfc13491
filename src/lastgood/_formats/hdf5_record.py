"""The record inside an HDF5 file: one attribute of the root group, which stock Keras never reads."""

from pathlib import Path

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


def read_record(path: Path) -> Record | None:
    """Return the record of an HDF5 file; None if there is none, or the file is no HDF5."""
    text = read_text(path)
    return Record.from_json(text) if text is not None else None


def read_text(path: Path) -> str | None:
    """Return the record of an HDF5 file as it stands there; None if there is none, or the file is no HDF5."""
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get(RECORD)
    except Exception:  # noqa: BLE001 - HDF5 has an exception of its own for each thing that can be wrong with its bytes
        return None
    return bytes(text).decode(errors="replace") if isinstance(text, bytes) else None
