"""lastgood's part of a TensorFlow checkpoint: the second one, of which TensorFlow reads nothing after its tensor.

    what TensorFlow wrote | the training state | digests of the other files, as JSON
    | length of the training state, 8 bytes | length of the digests, 8 bytes, both little-endian | the record

The record is as at the end of an HDF5 file, and holds the digest of everything before it, so every byte of every file
is covered. Parts of an older checkpoint may be in the same place: their digest of the index does not match the index.
"""

import json
import re
from functools import partial
from typing import Any, NamedTuple

from .. import _json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage import Extent, Location, Stage
from .._storage.groups import INDEX
from . import digests, trailing_record

# The prefix of the tensor names in lastgood's parts, by which the index shows that there are such parts.
MARK = "~lastgood"
_LENGTHS = 16
_ENDING = re.compile(r"\.index|\.data-\d{5}-of-\d{5}")
_OURS = re.compile(r"\.data-00001-of-\d{5}")


class _Ours(NamedTuple):
    """lastgood's part of a checkpoint: the places of its contents, and its digests of the other files."""

    name: str
    at: int
    record: RecordText
    training: Extent
    files: dict[str, Any]


def append(stage: Stage, count: int, record: Record, training: bytes) -> None:
    """Add lastgood's data to the second of ``count`` parts of a checkpoint that is otherwise complete.

    Raises:
        OSError: The storage failed.
    """
    own = f".data-00001-of-{count:05d}"
    others = [name for name in stage.files() if name != own]
    found = digests.of_files([partial(stage.open, name) for name in others])
    table = json.dumps(dict(zip(others, found, strict=True))).encode()
    text = record.to_text()
    with stage.open(own) as file:
        content = file.read(0, file.size) + training + table
    content += len(training).to_bytes(8, "little") + len(table).to_bytes(8, "little")
    stage.write(own, digests.of_bytes(content + trailing_record.encode(text), len(content), text))


def read_record(at: Location) -> Record | None:
    """Return the record of the checkpoint at ``at``; None if it has no readable record."""
    try:
        ours = _find(at)
    except (OSError, CorruptCheckpointError):
        return None
    return Record.from_text(ours.record) if ours else None


def read_training(at: Location) -> bytes | None:
    """Return the training state of a checkpoint that was verified; None if it has none."""
    ours = _find(at)
    if ours is None:
        return None
    with at.open(ours.name) as file:
        return file.read(*ours.training)


def verify(at: Location) -> None:
    """Check every file of a checkpoint with a record against its digest.

    Raises:
        CorruptCheckpointError: A file is damaged; the message says which.
    """
    ours = _find(at)
    if ours is None:
        return
    with at.open(ours.name) as file:
        digests.find_damage(file, 0, ours.at, ours.record)
    for name, expected in ours.files.items():
        if not at.storage.is_inside(at.path, name) or _digest(at, name) != expected:
            raise CorruptCheckpointError(at, f"the file {at.name + name!r}")


def _find(at: Location) -> _Ours | None:
    """Return lastgood's part of the checkpoint at ``at``; None if there is none, because stock tf_keras wrote it.

    Raises:
        CorruptCheckpointError: There is one, and that part or the index is damaged.
        FileNotFoundError: There is no checkpoint.
    """
    index = _digest(at, INDEX)
    found = [name for name in at.files() if _OURS.fullmatch(name)]
    read = [ours for name in found if (ours := _read(at, name)) is not None]
    match = next((ours for ours in read if ours.files.get(INDEX) == index), None)
    if match is None and read:
        raise CorruptCheckpointError(at, "its index, or the digest of its index")
    if match is None:
        with at.open(INDEX) as file:
            if MARK.encode() in file.read(0, file.size):
                raise CorruptCheckpointError(at, "the part that holds its record")
    return match


def _read(at: Location, name: str) -> _Ours | None:
    """Return the contents of a part; None if lastgood did not write it.

    Raises:
        CorruptCheckpointError: lastgood wrote it, and it is damaged.
    """
    with at.open(name) as file:
        found = trailing_record.find(file)
        if found is None:
            return None
        end, record = found
        if end < _LENGTHS:
            raise CorruptCheckpointError(file.path, "its record")
        lengths = file.read(end - _LENGTHS, _LENGTHS)
        training, table = int.from_bytes(lengths[:8], "little"), int.from_bytes(lengths[8:], "little")
        start = end - _LENGTHS - table - training
        if start < 0 or table > _json.RECORD:
            raise CorruptCheckpointError(file.path, "the lengths before its record")
        text = file.read(start + training, table)
    try:
        files = _json.read(text)
    except ValueError:
        files = None
    if not isinstance(files, dict) or not all(map(_ENDING.fullmatch, files)):
        raise CorruptCheckpointError(file.path, "the digests before its record")
    return _Ours(name, end, record, Extent(start, training), files)


def _digest(at: Location, name: str) -> list[Any]:
    """Return a file's length and CRC-32 as a list, as in the JSON."""
    return list(digests.of_files([partial(at.open, name)])[0])
