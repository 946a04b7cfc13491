"""How what a save wrote becomes what is found at its path."""

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
    """Make what was written durable, then visible, then that durable.

    Args:
        temporary: What was written.
        target: Where it is to be found; an older checkpoint there is replaced, never mixed with.
        aside: Where a directory lies that is being replaced, where two names cannot be swapped in one act.

    Raises:
        OSError: The storage refused; what was at ``target`` is there.
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
    """Check that a file that is there may be written to: a rename would not ask.

    Raises:
        PermissionError: Its permissions say that it may not.
    """
    old = _plain_file(target)
    if old is not None and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(target))


def _make_like(temporary: Path, new: os.stat_result, target: Path) -> None:
    """Give a new file the permissions and the owner of the one that it replaces, as if it had been written to.

    Raises:
        PermissionError: That one must not be written to.
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
    """Return what is known of the plain file at a path; None if there is none."""
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
            # Over a network an answer may be lost, and the question asked again: then it has been done.
            if not _is_the_same(new, target):
                raise
        except OSError as error:
            # Another save has put its directory there meanwhile, where there was none: now there is one to replace.
            if error.errno not in _TAKEN or not temporary.is_dir() or not target.is_dir():
                raise
            _put_in_place(temporary, new, target, aside)
    elif not SYSTEM.exchange(temporary, target):
        _replace_directory(temporary, target, aside)


def _replace_directory(temporary: Path, target: Path, aside: Path) -> None:
    """Make a directory visible in another's place, where two names cannot be swapped."""
    with suppress(FileNotFoundError):  # another save has moved it aside
        move_aside(target, aside)
    try:
        rename(temporary, target)
    except OSError as error:
        if error.errno in _TAKEN and target.is_dir():  # or has put its own there meanwhile
            remove(aside)
            _replace_directory(temporary, target, aside)
            return
        if os.path.lexists(aside):
            rename(aside, target)
        raise
    sync_directory(target.parent)
    remove(aside)


def _is_the_same(known: os.stat_result, path: Path) -> bool:
    """Tell whether a file that was renamed is the one at a path."""
    with suppress(OSError):
        found = os.lstat(path)
        return (found.st_ino, found.st_size, found.st_mtime_ns) == (known.st_ino, known.st_size, known.st_mtime_ns)
    return False


def restore_replaced(stem: Path, target_name: str) -> bool:
    """Bring back the directory that a dead process had moved aside without putting the new one in its place.

    Args:
        stem: What the process's temporary names begin with.
        target_name: The name that the directory had.

    Returns:
        Whether it was, or need not be; if not, the lock does not say where to: what lies here may be the last copy.
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
    """Tell whether a directory was being removed, of which there is a copy."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    left, whole = files_of(directory), files_of(copy)
    sizes_differ = (Path(directory, name).stat().st_size != Path(copy, name).stat().st_size for name in left)
    return set(left) < set(whole) and not any(sizes_differ)
