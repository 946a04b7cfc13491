"""The record after the end of an HDF5 file: neither HDF5 nor stock Keras reads beyond that end.

    the HDF5 file | the record, as UTF-8 | its length in bytes, 8 bytes, little-endian | the 8 bytes b"lastgood"

It is found without HDF5, in two reads, however large the file is. An attribute of the root marks a file that has one.
"""

import h5py
import numpy as np

from .. import _json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage import Location, StoredFile
from . import digests
from .hdf5_layout import DIGESTS, GROUP, MARK, TRAINING
from .hdf5_reader import arrays_of

_MAGIC = b"lastgood"
_TAIL = 8 + len(_MAGIC)


def encode(record: RecordText) -> bytes:
    """Return the bytes that follow the HDF5 file."""
    text = record.text.encode()
    return text + len(text).to_bytes(8, "little") + _MAGIC


def add_training(file: h5py.File, training: bytes) -> None:
    """Add the training state to an HDF5 file, and the mark of a file that has a record."""
    file.attrs[MARK] = digests.VERSION
    file.create_group(GROUP)[TRAINING] = np.frombuffer(training, np.uint8)


def add_empty_table(file: h5py.File) -> tuple[digests.Extents, tuple[int, int]]:
    """Add an empty table of digests for all contiguous arrays; return their extents, and that of the table."""
    file.flush()
    arrays, own = arrays_of(file)
    found = [*arrays.values(), *own.values()]
    extents = sorted((array.offset, array.length) for array in found if array and array.length)
    table = np.zeros((len(extents), digests.COLUMNS), "<u8")
    made = file[GROUP].create_dataset(DIGESTS, data=table)
    return extents, (made.id.get_offset() or 0, table.nbytes)


def find(file: StoredFile) -> tuple[int, RecordText] | None:
    """Return the offset of the record, and the record; None if the file does not end in one.

    Raises:
        CorruptCheckpointError: The record is damaged.
    """
    if file.size < _TAIL:
        return None
    tail = bytearray(_TAIL)
    file.read_into(tail, file.size - _TAIL)
    if tail[8:] != _MAGIC:
        return None
    length = int.from_bytes(tail[:8], "little")
    at = file.size - _TAIL - length
    if at < 0 or length > _json.RECORD:
        raise CorruptCheckpointError(file.path, "its record")
    text = bytearray(length)
    file.read_into(text, at)
    return at, RecordText(text.decode(errors="replace"))


def read(at: Location) -> Record | None:
    """Return the record of the file at ``at``; None if it has no readable record."""
    try:
        with at.open() as file:
            found = find(file)
    except (OSError, CorruptCheckpointError):
        return None
    return Record.from_text(found[1]) if found else None
