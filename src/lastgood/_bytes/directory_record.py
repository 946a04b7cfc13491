"""The record and the training state of a checkpoint that is a directory: files in it that stock Keras never reads.

The record, `lastgood.json`, has the length and the digest of every other file, and a digest of itself. It is written
last. Files that other tools add later are ignored: everything that was saved is still there.
"""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import PurePosixPath

from .. import _json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage import Location, Stage, StoredFile
from . import digests

_NAME = "lastgood.json"
_TRAINING = "lastgood.training"


def write_record(stage: Stage, record: Record, training: bytes) -> None:
    """Add ``record``, with digests, and the training state to a directory that is otherwise complete.

    Raises:
        OSError: The storage failed.
    """
    stage.write(_TRAINING, training)
    names = [name for name in stage.files() if name not in stage.elsewhere]
    found = digests.of_files([partial(stage.open, name) for name in names])
    text = record.to_text(files={**stage.elsewhere, **dict(zip(names, found, strict=True))})
    stage.write(_NAME, digests.of_bytes(text.text.encode(), 0, text))


def can_list(names: Iterable[str]) -> bool:
    """Return whether a record has room for these files of a directory, whatever else it holds."""
    largest = (1 << 63, 1 << 32)  # a length and a digest
    return _json.is_readable(json.dumps(dict.fromkeys(names, largest)), _json.DIRECTORY - _json.RECORD)


def read_training(at: Location) -> bytes | None:
    """Return the training state of the directory at ``at``; None if there is none."""
    try:
        with at.open(_TRAINING) as file:
            return file.read(0, file.size)
    except OSError:
        return None


def read_record(at: Location) -> Record | None:
    """Return the record of the directory at ``at``; None if there is none."""
    try:
        with at.open(_NAME) as file:
            return Record.from_text(_text(file))
    except (OSError, CorruptCheckpointError):
        return None


def verify(at: Location) -> None:
    """Check every file of a directory against its digest; without a record, or with an older one, there are none.

    Raises:
        CorruptCheckpointError: A file is damaged or missing; the message says which.
        OSError: The storage failed.
    """
    files = _files(at)
    for name, (length, _) in files.items():
        if not at.storage.is_inside(at.path, name):
            raise CorruptCheckpointError(at, f"the file {name!r}", "it is missing")
        size = (at / name).info().size
        if size != length:
            raise CorruptCheckpointError(at, f"the file {name!r}", f"it has {size} bytes instead of {length}")
    found = digests.of_files([partial(at.open, name) for name in files])
    wrong = [name for name, is_now in zip(files, found, strict=True) if is_now != files[name]]
    if wrong:
        raise CorruptCheckpointError(at, f"the file {wrong[0]!r}")


def is_ours(at: Location) -> bool:
    """Return True if the directory at ``at`` holds a file that lastgood wrote."""
    try:
        return any(entry.name in (_NAME, _TRAINING) for entry in at.entries())
    except OSError:
        return False


def is_checkpoint(at: Location, markers: set[str]) -> bool:
    """Return True if ``at`` is a directory, not a link, that contains all of ``markers`` or is empty."""
    if at.kind != "directory" or at.is_link():
        return False
    names = {entry.name for entry in at.entries()}
    return not names or markers <= names


def _files(at: Location) -> dict[str, tuple[int, int]]:
    """Return the length and the digest of each file from the record; empty without a record or with an older one.

    Raises:
        CorruptCheckpointError: The record is damaged, or missing beside a training state.
    """
    if not is_ours(at):
        return {}
    try:
        with at.open(_NAME) as file:
            text = _text(file)
            if text.digest == RecordText.NO_DIGEST and "files" not in text.values:
                return {}
            digests.find_damage(file, 0, 0, text)
    except (FileNotFoundError, CorruptCheckpointError) as error:
        raise CorruptCheckpointError(at, f"its record, the file {_NAME!r}") from error
    if text.files is None or not all(map(_is_relative, text.files)):
        raise CorruptCheckpointError(at, f"its record, the file {_NAME!r}", "its list of files is invalid")
    return text.files


def _text(file: StoredFile) -> RecordText:
    """Return the contents of a record's file."""
    if file.size > _json.DIRECTORY:
        raise CorruptCheckpointError(file.path, "its record", f"it is too long, with {file.size} bytes")
    content = file.read(0, file.size)
    return RecordText(content.decode(errors="replace"), _json.DIRECTORY)  # with a line for each file


def _is_relative(name: str) -> bool:
    """Return True if a path stays within the directory."""
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\0" not in name
