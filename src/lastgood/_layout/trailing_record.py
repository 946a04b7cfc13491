"""The record at the end of an HDF5 file, behind what HDF5 takes for the file's end: stock Keras does not look there.

    the HDF5 file | the record, as UTF-8 | its length in bytes, 8 bytes, little-endian | the 8 bytes b"lastgood"

So it is found without HDF5, in two reads, however large the file is. An attribute of the root says that it is there.
"""

import os
from pathlib import Path

import h5py
import numpy as np

from .. import _strict_json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage.positioned import PositionedFile
from . import digests
from .hdf5_layout import GROUP, MARK, TRAINING

_MAGIC = b"lastgood"
_TAIL = 8 + len(_MAGIC)


def encode(record: RecordText) -> bytes:
    """Return what comes behind the HDF5 file."""
    text = record.text.encode()
    return text + len(text).to_bytes(8, "little") + _MAGIC


def append(path: Path, record: Record, training: bytes) -> None:
    """Add ``record`` and the training state to the finished HDF5 file at ``path``, with the digest of all of it.

    Raises:
        OSError: The storage refused; HDF5 may say so in a ``RuntimeError``.
    """
    with h5py.File(path, "r+") as file:
        file.attrs[MARK] = digests.VERSION
        file.create_group(GROUP)[TRAINING] = np.frombuffer(training, np.uint8)
    text = record.to_text()
    with path.open("ab") as plain:
        at = plain.seek(0, os.SEEK_END)
        plain.write(encode(text))
    digests.seal_file(path, at, text)


def find(file: PositionedFile) -> tuple[int, RecordText] | None:
    """Return where the record begins, and the record; None if the file does not end in one.

    Raises:
        CorruptCheckpointError: It does, and the record is damaged.
    """
    if file.size < _TAIL:
        return None
    tail = bytearray(_TAIL)
    file.read_into(tail, file.size - _TAIL)
    if tail[8:] != _MAGIC:
        return None
    length = int.from_bytes(tail[:8], "little")
    at = file.size - _TAIL - length
    if at < 0 or length > _strict_json.RECORD:
        raise CorruptCheckpointError(file.path, "its record")
    text = bytearray(length)
    file.read_into(text, at)
    return at, RecordText(text.decode(errors="replace"))


def read(path: Path) -> Record | None:
    """Return the record of the file at ``path``; None if it has none that can be read."""
    try:
        with PositionedFile(path) as file:
            found = find(file)
    except (OSError, CorruptCheckpointError):
        return None
    return Record.from_text(found[1]) if found else None
