"""What is at a checkpoint's path: a file, a directory, or a group of files.

The names of a group's files begin with the path; its index, published last, makes it a checkpoint:

    model-07.index                     says in how many parts the data are, and where in them
    model-07.data-00000-of-00002       one part

It is TensorFlow's own format. The names of the parts have their number in them, so a new checkpoint takes the place of
one of the same path by being of another number of parts: its parts lie beside the old ones until its index replaces the
old index in one act.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path
from stat import S_ISREG

from .durable import fsync_path
from .locks import alone

INDEX = ".index"
_PART = re.compile(r"\.data-\d{5}-of-(\d{5})")


def index_of(path: Path) -> Path:
    """Return the index of the checkpoint at ``path``."""
    return path.with_name(path.name + INDEX)


def is_group(path: Path) -> bool:
    """Tell whether a group is at ``path``."""
    return index_of(path).is_file()


def exists(path: Path) -> bool:
    """Tell whether anything is at ``path``: a file, a directory or a group."""
    return os.path.lexists(path) or is_group(path)


def stat(path: Path) -> os.stat_result:
    """Return what the system says of the file or directory that stands for the checkpoint at ``path``.

    Raises:
        OSError: There is none.
    """
    with contextlib.suppress(OSError):
        index = os.stat(os.fspath(path) + INDEX)  # noqa: PTH116 - a save may ask ten thousand files
        if S_ISREG(index.st_mode):
            return index
    return os.stat(path)  # noqa: PTH116


def is_checkpoint_like(path: Path) -> bool:
    """Tell whether a plain file, a directory or a group is at ``path``, and not a pipe, or a link to nothing."""
    return path.is_file() or path.is_dir() or is_group(path)


def belongs_to_group(name: str) -> bool:
    """Tell whether a file's name is one that only a file of a group has."""
    return name.endswith(INDEX) or _PART.search(name) is not None


def parts(path: Path) -> list[Path]:
    """Return the files of data of a group, also those of an older one that were left."""
    prefix = path.name + ".data-"
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.name.startswith(prefix))
    except FileNotFoundError:
        return []
    return [path.with_name(name) for name in names if _PART.fullmatch(name.removeprefix(path.name))]


def free_count(path: Path, least: int) -> int:
    """Return in how many parts, ``least`` or more, a checkpoint has to be to lie beside what is at ``path``."""
    taken = {int(_PART.fullmatch(part.name.removeprefix(path.name))[1]) for part in parts(path)}  # type: ignore[index]
    return next(count for count in range(least, least + len(taken) + 1) if count not in taken)


def members(path: Path) -> list[Path]:
    """Return the files of a group; its index comes last."""
    return [*parts(path), index_of(path)]


def publish(temporary: Path, target: Path) -> None:
    """Make a group durable and visible under another path, and remove the parts of the one that it replaces.

    Raises:
        OSError: The storage refused, or another process has saved to ``target`` since this one has chosen its parts;
            what was there is as it was.
    """
    for path in members(temporary):
        fsync_path(path)
    with alone(target.parent):  # or one process removes the parts of another that has not come to its index
        _publish(temporary, target)


def _publish(temporary: Path, target: Path) -> None:
    old = set(parts(target))
    new = [target.with_name(target.name + part.name.removeprefix(temporary.name)) for part in parts(temporary)]
    if not old.isdisjoint(new):
        raise OSError(f"another process has saved to {os.fspath(target)!r} meanwhile")
    try:
        for part, place in zip(parts(temporary), new, strict=True):
            part.replace(place)
        fsync_path(target.parent)
        index_of(temporary).replace(index_of(target))
    except OSError:
        for place in new:
            place.unlink(missing_ok=True)
        raise
    fsync_path(target.parent)
    for part in old:
        part.unlink(missing_ok=True)


def remove_group(path: Path) -> None:
    """Remove a group, or what is there of one; its index goes first, so that no half of it looks like a checkpoint."""
    found = parts(path)
    index_of(path).unlink(missing_ok=True)
    for part in found:
        part.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, a directory or a group of files, if it is there."""
    if is_group(path):
        remove_group(path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def rename(path: Path, target: Path) -> None:
    """Give a file, a directory or a group of files another path."""
    for member in members(path) if is_group(path) else [path]:
        member.rename(target.with_name(target.name + member.name.removeprefix(path.name)))


def tree_bytes(path: Path) -> int:
    """Return the length of a file, or of all files of a group or below a directory."""
    if path.is_file():
        return path.stat().st_size
    files = members(path) if is_group(path) else [child for child in path.rglob("*") if child.is_file()]
    return sum(file.stat().st_size for file in files)
