"""What can be known to go wrong before the first epoch, rather than after it."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from ._errors import RunInUseError, SaveError, TargetIsDirectoryError
from ._formats import Format
from ._policies.naming import Template
from ._run.keeper import Keeper
from ._storage import Storage

# A save needs its own size beside the checkpoint that it replaces.
_SAFETY = 2


def check_target(template: Template, file_format: Format, storage: Storage) -> None:
    """Check that the template's directory takes files, and that nothing stands where the checkpoint is to go.

    Raises:
        SaveError: The directory cannot be made or written.
        TargetIsDirectoryError: A directory stands at a path without placeholders.
    """
    directory, patterns = template.components()
    try:
        storage.check_writable(Path(directory))
    except OSError as error:
        raise SaveError.during("save checkpoints in", directory, error) from error
    if len(patterns) == 1 and not template.fields:
        check_replaceable(Path(template.path(epoch=1, batch=None, logs={})), file_format)


def check_free(keeper: Keeper, filepath: str, *, refuse: bool) -> str | None:
    """Take a template's files for this process; return a warning if another process has them.

    Args:
        keeper: What keeps them.
        filepath: The template, as the user gave it.
        refuse: Whether this training would delete them, or go on from them.

    Raises:
        RunInUseError: It would, and another process has them.
    """
    taken = keeper.occupy()
    if taken is None:
        return None
    text = f"Another training saves to {filepath!r}: {taken}."
    if refuse:
        raise RunInUseError(f"{text} Wait until it has ended, or give this one another filepath.")
    return f"{text} Each will overwrite checkpoints of the other."


def check_replaceable(path: Path, file_format: Format) -> None:
    """Check that a checkpoint may take the place of what is at ``path``.

    Raises:
        TargetIsDirectoryError: It is a directory that is not a checkpoint of this format.
        SaveError: It is a file, where a directory is to be written.
    """
    if file_format.may_replace(path):
        return
    if path.is_dir():
        raise TargetIsDirectoryError(
            "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory: "
            f"{os.fspath(path)} (and it is no checkpoint of the format '{file_format.name}', so it is not replaced)"
        )
    raise SaveError(
        f"Could not save the checkpoint {os.fspath(path)!r}: a file is there, and the format '{file_format.name}' "
        "writes a directory. Remove the file, or save elsewhere."
    )


def name_warnings(names: Iterable[str], logged: set[str]) -> Iterator[str]:
    """Yield a warning for each name that training will not log.

    Args:
        names: The monitored name and the template's placeholders.
        logged: The names that training will log, without those of validation; whether there will be a validation
            cannot be known here, so each may come with ``val_`` before it.
    """
    choices = sorted(name for name in logged if name not in ("lr", "learning_rate"))
    choices += [f"val_{name}" for name in choices]
    for name in dict.fromkeys(names):
        if name in ("epoch", "batch") or name.removeprefix("val_") in logged:
            continue
        close = get_close_matches(name, choices, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        yield (
            f"ModelCheckpoint uses '{name}', which this model will not log.{hint} It logs: {', '.join(choices)} "
            "(those with 'val_' only where there is validation data)."
        )


def space_warning(directory: Path, needed: int, storage: Storage) -> str | None:
    """Return a warning if there is less free space than a save and the checkpoint before it need.

    Args:
        directory: Where checkpoints go.
        needed: Size of the state to be saved, in bytes.
        storage: What ``directory`` lies in.
    """
    free = storage.free_space(directory)
    if free >= _SAFETY * needed:
        return None
    return (
        f"Only {_megabytes(free)} are free for checkpoints in {os.fspath(directory)!r}, and each takes about "
        f"{_megabytes(needed)}. A save needs that much beside the checkpoint before it: free some space."
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
