"""Tests, made before training, of the file system features that lastgood's guarantees depend on."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .durable import move, remove, sync, sync_directory
from .mounts import mount_of
from .systems import SYSTEM

# On these, a rename is a copy and a deletion, or a power cut may interrupt it.
_RENAMES_IN_PARTS = {"exfat", "msdos", "vfat"} | {
    f"fuse.{name}" for name in ("blobfuse", "blobfuse2", "drive", "gcsfuse", "goofys", "rclone", "s3fs")
}


def limits_at(stem: Path, *, swaps: bool) -> list[str]:
    """Return what the file system of a directory lacks, each with its consequence.

    Args:
        stem: A path in the directory with a name that no other process uses.
        swaps: Whether checkpoints are directories, which replace one another by swapping two names.

    Raises:
        OSError: An operation that every file system supports failed.
    """
    one, other = (stem.with_name(f"{stem.name}.probe{number}") for number in (1, 2))
    try:
        return [*_missing(one, other, swaps=swaps)]
    finally:
        for path in (one, other):
            remove(path)


def _missing(one: Path, other: Path, *, swaps: bool) -> Iterator[str]:
    descriptor = SYSTEM.open(one, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        if not sync(descriptor):
            yield "It has no fsync, so a power cut may lose checkpoints that were reported as saved."
        elif not sync_directory(one.parent):
            yield "It has no fsync of directories, so a power cut may undo the last saves."
        if not _locks(descriptor):
            yield (
                "It has no locks, so trainings on other machines that save to the same files are not detected, and "
                "unfinished files of a killed process are only removed after a day."
            )
    finally:
        os.close(descriptor)
    mount = mount_of(one.parent)
    if not move(one, other) or (mount is not None and mount.type in _RENAMES_IN_PARTS):
        yield "It does not rename atomically, so a crash during a save may lose the checkpoint that it replaces."
        if swaps:
            yield (
                "A directory that is renamed while its files are still being uploaded may lose some of them: save to a "
                "path that ends in '.keras' or '.weights.h5'."
            )
    elif swaps:
        one.touch()
        if not SYSTEM.exchange(one, other):
            yield (
                "It cannot swap two names, so a directory that is being replaced is missing for a moment; if a crash "
                "happens then, the next start brings it back."
            )


def _locks(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        SYSTEM.lock_for_process(descriptor)
        SYSTEM.lock(descriptor)
        return True
    return False
