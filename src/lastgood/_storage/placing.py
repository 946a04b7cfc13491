"""The commit of a local save: from its temporary path to the checkpoint's path."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from . import groups
from .durable import move_aside, remove, rename, sync_directory, sync_file, sync_tree
from .stages import files_of
from .systems import SYSTEM

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}
_LONGEST_NAME = 255


def publish(temporary: Path, target: Path, aside: Path) -> None:
    """Make a checkpoint durable, then visible, then make its new name durable.

    Args:
        temporary: The path that the checkpoint was written to.
        target: Its final path. An older checkpoint there is replaced, never mixed with the new one.
        aside: The path that a replaced directory is moved to if two names cannot be swapped atomically.

    Raises:
        OSError: The storage failed; what was at ``target`` is still there.
    """
    if groups.is_group(temporary):
        groups.publish(temporary, target)
        return
    new = os.lstat(temporary)
    _make_like(temporary, new, target)
    if stat.S_ISDIR(new.st_mode):
        sync_tree(temporary)
    else:
        sync_file(temporary)
    _put_in_place(temporary, new, target, aside)
    sync_directory(target.parent)


def check_overwritable(target: Path) -> None:
    """Check that an existing file may be overwritten: a rename ignores its permissions.

    Raises:
        PermissionError: Its permissions forbid it.
    """
    old = _plain_file(target)
    if old is not None and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(target))


def _make_like(temporary: Path, new: os.stat_result, target: Path) -> None:
    """Give a new file the permissions and owner of the file that it replaces, as if that had been overwritten.

    Raises:
        PermissionError: The old file must not be overwritten.
    """
    old = _plain_file(target)
    if old is None or not stat.S_ISREG(new.st_mode):
        return
    owner = (old.st_uid, old.st_gid) if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) else None
    if owner is None and old.st_mode == new.st_mode:
        return
    check_overwritable(target)
    if owner is not None:
        with suppress(OSError):
            os.chown(temporary, *owner)
    with suppress(OSError):
        temporary.chmod(stat.S_IMODE(old.st_mode))


def _plain_file(path: Path) -> os.stat_result | None:
    """Return the status of the regular file at a path; None if there is none."""
    with suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode):
            return found
    return None


def _put_in_place(temporary: Path, new: os.stat_result, target: Path, aside: Path) -> None:
    """Make ``temporary`` visible as ``target``."""
    if not stat.S_ISDIR(new.st_mode) or not target.is_dir():
        try:
            rename(temporary, target)
        except FileNotFoundError:
            # A network file system may lose a reply and repeat the request: then the rename was already done.
            if not _is_the_same(new, target):
                raise
        except OSError as error:
            # There was no directory, but another save has created one meanwhile: replace that one.
            if error.errno not in _TAKEN or not temporary.is_dir() or not target.is_dir():
                raise
            _put_in_place(temporary, new, target, aside)
    elif not SYSTEM.exchange(temporary, target):
        _replace_directory(temporary, target, aside)


def _replace_directory(temporary: Path, target: Path, aside: Path) -> None:
    """Replace a directory with another if two names cannot be swapped."""
    with suppress(FileNotFoundError):  # another save has moved it aside
        move_aside(target, aside)
    try:
        rename(temporary, target)
    except OSError as error:
        if error.errno in _TAKEN and target.is_dir():  # another save has put its own there
            remove(aside)
            _replace_directory(temporary, target, aside)
            return
        if os.path.lexists(aside):
            rename(aside, target)
        raise
    sync_directory(target.parent)
    remove(aside)


def _is_the_same(known: os.stat_result, path: Path) -> bool:
    """Return whether the file at a path is the one that was renamed."""
    with suppress(OSError):
        found = os.lstat(path)
        return (found.st_ino, found.st_size, found.st_mtime_ns) == (known.st_ino, known.st_size, known.st_mtime_ns)
    return False


def restore_replaced(stem: Path, target_name: str) -> bool:
    """Move back a directory that a dead process moved aside but did not replace.

    Args:
        stem: The path that the process's temporary names begin with.
        target_name: The name that the directory had.

    Returns:
        True if it was moved back or need not be; False if the lock does not say where to: it may be the last copy.
    """
    aside = stem.with_name(stem.name + ".old")
    if os.path.lexists(aside):
        if target_name in ("", ".", "..") or {"/", "\0"} & set(target_name) or len(target_name) > _LONGEST_NAME:
            return False
        target = stem.with_name(target_name)
        if os.path.lexists(stem) and _is_what_is_left_of(aside, target):
            remove(target)
        if not os.path.lexists(target):
            rename(aside, target)
            sync_directory(target.parent)
    return True


def _is_what_is_left_of(copy: Path, directory: Path) -> bool:
    """Return whether a directory is partly removed and ``copy`` is a complete copy of it."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    left, whole = files_of(directory), files_of(copy)
    sizes_differ = (Path(directory, name).stat().st_size != Path(copy, name).stat().st_size for name in left)
    return set(left) < set(whole) and not any(sizes_differ)
