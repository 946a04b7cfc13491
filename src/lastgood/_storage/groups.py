"""Checkpoints that are a group of files, as TensorFlow writes them.

The names of the files begin with the checkpoint's path; the index, published last, makes it a checkpoint:

    model-07.index                     the number of parts, and where in them the data are
    model-07.data-00000-of-00002       one part

The names of the parts contain the number of parts. So a new checkpoint replaces one of the same path by having another
number of parts: its parts lie next to the old ones until its index atomically replaces the old index.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .durable import remove, rename, sync_directory, sync_file
from .locks import alone

INDEX = ".index"
_PART = re.compile(r"\.data-\d{5}-of-(\d{5})")


def index_of(path: Path) -> Path:
    """Return the index of the checkpoint at ``path``."""
    return path.with_name(path.name + INDEX)


def is_group(path: Path) -> bool:
    """Return whether a group is at ``path``; False, not an error, if the name of its index would be too long."""
    return os.path.isfile(f"{path}{INDEX}")  # noqa: PTH113


def belongs_to_group(name: str) -> bool:
    """Return whether a name is one that only a file of a group has."""
    return name.endswith(INDEX) or _PART.search(name) is not None


def parts(path: Path) -> list[Path]:
    """Return the data files of a group, including those left over from an older one."""
    prefix = path.name + ".data-"
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.name.startswith(prefix))
    except FileNotFoundError:
        return []
    return [path.with_name(name) for name in names if _PART.fullmatch(name.removeprefix(path.name))]


def free_count(name: str, beside: Iterable[str], least: int) -> int:
    """Return the number of parts, at least ``least``, that keeps a checkpoint apart from an older one of its name.

    Args:
        name: The checkpoint's name.
        beside: The names in its directory.
        least: The minimum number of parts.
    """
    found = (_PART.fullmatch(each.removeprefix(name)) for each in beside if each.startswith(name))
    taken = {int(match[1]) for match in found if match}
    return next(count for count in range(least, least + len(taken) + 1) if count not in taken)


def is_member(name: str, of: str) -> bool:
    """Return True if ``name`` is the name of a file of the group ``of``."""
    rest = name.removeprefix(of)
    return name.startswith(of) and (rest == INDEX or _PART.fullmatch(rest) is not None)


def members(path: Path) -> list[Path]:
    """Return the files of a group; its index comes last."""
    return [*parts(path), index_of(path)]


def publish(temporary: Path, target: Path) -> None:
    """Make a group durable and visible under another path, and remove the parts of the group it replaces.

    Raises:
        OSError: The storage failed, or another process has saved to ``target`` since this one chose its number of
            parts; what was there is unchanged.
    """
    for path in members(temporary):
        sync_file(path)
    with alone(target.parent):  # or one process could remove the parts of another that has no index yet
        _publish(temporary, target)


def _publish(temporary: Path, target: Path) -> None:
    old = set(parts(target))
    new = [target.with_name(target.name + part.name.removeprefix(temporary.name)) for part in parts(temporary)]
    if not old.isdisjoint(new):
        raise OSError(f"another process has saved to {os.fspath(target)!r} in the meantime")
    try:
        for part, place in zip(parts(temporary), new, strict=True):
            rename(part, place)
        sync_directory(target.parent)
        rename(index_of(temporary), index_of(target))
    except OSError:
        for place in new:
            place.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)
    for part in old:
        part.unlink(missing_ok=True)


def remove_group(path: Path) -> None:
    """Remove a group, even an incomplete one; its index goes first, so that no part of it looks like a checkpoint."""
    found = parts(path)
    index_of(path).unlink(missing_ok=True)
    for part in found:
        part.unlink(missing_ok=True)


def remove_any(path: Path) -> None:
    """Remove a file, a directory or a group of files, if it is there."""
    if is_group(path):
        remove_group(path)
    else:
        remove(path)
