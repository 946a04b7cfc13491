"""The record and the training state of a checkpoint that is a directory: files in it that stock Keras never reads.

The record, `lastgood.json`, has the length and the digest of every other file, and a digest of itself. It is made when
the directory is finished. What is added later by other tools is not looked at: all that was saved is still there.
"""

import os
from pathlib import Path, PurePosixPath

from .. import _strict_json
from .._errors import CorruptCheckpointError
from .._record import Record, RecordText
from .._storage.positioned import PositionedFile
from . import digests

_NAME = "lastgood.json"
_TRAINING = "lastgood.training"


def write_record(path: Path, record: Record, training: bytes) -> None:
    """Add ``record``, with digests, and the training state to the finished directory at ``path``.

    Raises:
        OSError: The storage refused.
    """
    (path / _TRAINING).write_bytes(training)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [file.relative_to(path).as_posix() for file in files]
    text = record.to_text(files=dict(zip(names, digests.of_files(files), strict=True)))
    (path / _NAME).write_text(text.text, encoding="utf-8")
    digests.seal_file(path / _NAME, 0, text)


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
        with PositionedFile(path / _NAME) as file:
            return Record.from_text(_text(file))
    except (OSError, CorruptCheckpointError):
        return None


def verify(path: Path) -> None:
    """Check every file of a directory against its digest; one that has no record, or an older one, has none.

    Raises:
        CorruptCheckpointError: A file is damaged or missing; says which.
        OSError: The system refused.
    """
    files = _files(path)
    for name, (length, _) in files.items():
        file = path / name
        if _is_linked(path, name) or not file.is_file():
            raise CorruptCheckpointError(path, f"the file {name!r}", "it is not there")
        if file.stat().st_size != length:
            raise CorruptCheckpointError(path, f"the file {name!r}", f"it has {file.stat().st_size} bytes of {length}")
    found = digests.of_files([path / name for name in files])
    wrong = [name for name, is_now in zip(files, found, strict=True) if is_now != files[name]]
    if wrong:
        raise CorruptCheckpointError(path, f"the file {wrong[0]!r}")


def is_ours(path: Path) -> bool:
    """Tell whether the directory at ``path`` holds a file of ours."""
    return any(os.path.lexists(path / name) for name in (_NAME, _TRAINING))


def is_checkpoint(path: Path, markers: set[str]) -> bool:
    """Tell whether ``path`` is a checkpoint's directory, which all of ``markers`` lie in, or an empty one."""
    if not path.is_dir() or path.is_symlink():
        return False
    names = {entry.name for entry in path.iterdir()}
    return not names or markers <= names


def _files(path: Path) -> dict[str, tuple[int, int]]:
    """Return what the record says of the files of a directory: nothing where there is none, or an older one.

    Raises:
        CorruptCheckpointError: The record is damaged, or missing beside a training state.
    """
    if not is_ours(path):
        return {}
    try:
        with PositionedFile(path / _NAME) as file:
            text = _text(file)
            if text.digest == RecordText.NO_DIGEST and "files" not in text.values:
                return {}
            digests.find_damage(file, 0, 0, text)
    except (FileNotFoundError, CorruptCheckpointError) as error:
        raise CorruptCheckpointError(path, f"its record, the file {_NAME!r}") from error
    if text.files is None or not all(map(_is_inside, text.files)):
        raise CorruptCheckpointError(path, f"its record, the file {_NAME!r}", "what it says of files cannot be")
    return text.files


def _text(file: PositionedFile) -> RecordText:
    """Return what stands in a record's file."""
    if file.size > _strict_json.DIRECTORY:
        raise CorruptCheckpointError(file.path, "its record", f"it has {file.size} bytes")
    content = bytearray(file.size)
    file.read_into(content, 0)
    return RecordText(content.decode(errors="replace"), _strict_json.DIRECTORY)  # with a line for each file


def _is_linked(path: Path, name: str) -> bool:
    """Tell whether a file of the directory at ``path``, or a directory on the way to it, is a link to elsewhere."""
    pure = PurePosixPath(name)
    return any((path / each).is_symlink() for each in (pure, *pure.parents[:-1]))


def _is_inside(name: str) -> bool:
    """Tell whether a path is one in the directory."""
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\0" not in name
