"""The part of a checkpoint of TensorFlow that is ours: its second one, which TensorFlow never reads behind its tensor.

    what TensorFlow wrote | the training state | digests of the other files, as JSON
    | length of the training state, 8 bytes | length of the digests, 8 bytes, both little-endian | the record

The record is as at the end of an HDF5 file, and holds the digest of all before it; so every byte of every file is
covered. Parts of an older checkpoint may lie beside: those are the ones whose digest of the index is not the index's.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from .. import _strict_json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage import entries
from .._storage.positioned import PositionedFile
from . import digests, trailing_record

# What the names of the tensors begin with that are in parts of ours: so the index says that there are some.
MARK = "~lastgood"
_LENGTHS = 16
_ENDING = re.compile(r"\.index|\.data-\d{5}-of-\d{5}")
_OURS = re.compile(r".*\.data-00001-of-\d{5}")


class _Ours(NamedTuple):
    """Our part of a checkpoint, as it was found: where in the file what is, and what it says of the other files."""

    path: Path
    at: int
    record: RecordText
    training: tuple[int, int]
    files: dict[str, Any]


def append(path: Path, count: int, record: Record, training: bytes) -> None:
    """Add what is ours to the second of ``count`` parts of the checkpoint at ``path``, which is complete otherwise.

    Raises:
        OSError: The storage refused.
    """
    ours = path.with_name(f"{path.name}.data-00001-of-{count:05d}")
    others = [member for member in entries.members(path) if member != ours]
    names = [other.name.removeprefix(path.name) for other in others]
    table = json.dumps(dict(zip(names, digests.of_files(others), strict=True))).encode()
    text = record.to_text()
    with ours.open("ab") as file:
        file.write(training + table)
        file.write(len(training).to_bytes(8, "little") + len(table).to_bytes(8, "little"))
        at = file.tell()
        file.write(trailing_record.encode(text))
    digests.seal_file(ours, at, text)


def read_record(path: Path) -> Record | None:
    """Return the record of the checkpoint at ``path``; None if it has none that can be read."""
    try:
        ours = _find(path)
    except (OSError, CorruptCheckpointError):
        return None
    return Record.from_text(ours.record) if ours else None


def read_training(path: Path) -> bytes | None:
    """Return the training state of a checkpoint that was verified; None if it has none."""
    ours = _find(path)
    if ours is None:
        return None
    offset, length = ours.training
    with PositionedFile(ours.path) as file:
        return file.read(offset, length)


def verify(path: Path) -> None:
    """Check every file of a checkpoint of ours against its digest.

    Raises:
        CorruptCheckpointError: One is damaged; says which.
    """
    ours = _find(path)
    if ours is None:
        return
    with PositionedFile(ours.path) as file:
        digests.find_damage(file, 0, ours.at, ours.record)
    for name, expected in ours.files.items():
        file_of = path.with_name(path.name + name)
        if not file_of.is_file() or _digest(file_of) != expected:
            raise CorruptCheckpointError(path, f"the file {file_of.name!r}")


def _find(path: Path) -> _Ours | None:
    """Return our part of the checkpoint at ``path``; None if there is none: stock tf_keras wrote it.

    Raises:
        CorruptCheckpointError: There is one, and it, or the index, is damaged.
        FileNotFoundError: There is no checkpoint.
    """
    index = _digest(entries.index_of(path))
    found = [part for part in entries.parts(path) if _OURS.fullmatch(part.name)]
    read = [ours for part in found if (ours := _read(part)) is not None]
    match = next((ours for ours in read if ours.files.get(entries.INDEX) == index), None)
    if match is None and read:
        raise CorruptCheckpointError(path, "its index, or the digest of it")
    if match is None and MARK.encode() in entries.index_of(path).read_bytes():
        raise CorruptCheckpointError(path, "the part that holds its record")
    return match


def _read(part: Path) -> _Ours | None:
    """Return what a part says, if it is one of ours and can be read.

    Raises:
        CorruptCheckpointError: It is ours, and damaged.
    """
    with PositionedFile(part) as file:
        found = trailing_record.find(file)
        if found is None:
            return None
        at, record = found
        lengths = bytearray(_LENGTHS)
        if at < _LENGTHS:
            raise CorruptCheckpointError(part, "its record")
        file.read_into(lengths, at - _LENGTHS)
        training, table = int.from_bytes(lengths[:8], "little"), int.from_bytes(lengths[8:], "little")
        start = at - _LENGTHS - table - training
        if start < 0 or table > _strict_json.RECORD:
            raise CorruptCheckpointError(part, "the lengths before its record")
        text = bytearray(table)
        file.read_into(text, start + training)
    try:
        files = _strict_json.read(bytes(text))
    except ValueError:
        files = None
    if not isinstance(files, dict) or not all(map(_ENDING.fullmatch, files)):
        raise CorruptCheckpointError(part, "the digests before its record")
    return _Ours(part, at, record, (start, training), files)


def _digest(path: Path) -> list[Any]:
    """Return a file's length and CRC-32, as JSON has them."""
    return list(digests.of_files([path])[0])
