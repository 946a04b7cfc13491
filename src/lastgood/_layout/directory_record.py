"""The record and the training state of a checkpoint that is a directory: files in it that stock Keras never reads."""

from pathlib import Path

from .. import _strict_json
from .._record import Record, RecordText
from .._storage.plain import read_plain
from .._storage.positioned import PositionedFile

_NAME = "lastgood.json"
_TRAINING = "lastgood.training"


def write_record(path: Path, record: Record, training: bytes) -> None:
    """Add ``record`` and the training state to the finished directory at ``path``.

    Raises:
        OSError: The storage refused.
    """
    (path / _TRAINING).write_bytes(training)
    (path / _NAME).write_text(record.to_text().text, encoding="utf-8")


def read_training(path: Path) -> bytes | None:
    """Return the training state of the directory at ``path``; None if there is none."""
    try:
        with PositionedFile(path / _TRAINING) as file:  # a plain file, and no pipe
            return file.read(0, file.size)
    except OSError:
        return None


def read_record(path: Path) -> Record | None:
    """Return the record of the directory at ``path``; None if there is none."""
    try:
        return Record.from_text(RecordText(read_plain(path / _NAME, _strict_json.RECORD).decode()))
    except (OSError, UnicodeDecodeError):
        return None


def is_checkpoint(path: Path, markers: set[str]) -> bool:
    """Tell whether ``path`` is a checkpoint's directory, which all of ``markers`` lie in, or an empty one."""
    if not path.is_dir() or path.is_symlink():
        return False
    names = {entry.name for entry in path.iterdir()}
    return not names or markers <= names
