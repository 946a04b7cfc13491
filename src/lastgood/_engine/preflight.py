"""Checks before training for what would go wrong at the first save."""

import contextlib
import warnings
from collections.abc import Sequence

from .._errors import RunInUseError, SaveError
from .._formats import Format
from .._formats.directory import DirectoryFormat
from .._run import Keeper, Series
from .._storage import Location
from .mirror import Mirror

# A save needs its own size in addition to the checkpoint that it replaces.
_SAFETY = 2
_told: set[str] = set()  # directories whose file systems were warned about


def check_target(series: Series) -> None:
    """Check that the template's directory is writable, and that nothing blocks the path of the checkpoint.

    Raises:
        SaveError: The directory, or the file at a path without placeholders, cannot be created or written.
        TargetIsDirectoryError: A directory is at a path without placeholders.
    """
    template, directory = series.template, series.directory
    try:
        series.storage.check_writable(directory.path)
    except OSError as error:
        raise SaveError.during("save checkpoints in", str(directory), error) from error
    if len(template.components()[1]) == 1 and not template.fields:
        _check_place(series.format, series.at(template.path(epoch=1, batch=None, logs={})))


def _check_place(file_format: Format, at: Location) -> None:
    """Check that saves can replace what is at ``at``."""
    file_format.check_replaceable(at)
    try:
        at.storage.check_overwritable(at.path)
    except OSError as error:
        raise SaveError.during("save checkpoints to", str(at), error) from error
    if at.is_link():
        warnings.warn(
            f"{str(at)!r} is a symbolic link. A save replaces the link, and does not change its target. To save to the "
            "target, pass its path as filepath.",
            stacklevel=5,
        )


def claim(keeper: Keeper, filepath: str, *, refuse: bool) -> None:
    """Claim a template's paths for this process, or warn that another process has them.

    Args:
        keeper: The keeper of the run.
        filepath: The template, as the user gave it.
        refuse: Whether to raise rather than warn, since this training deletes the files or continues from them.

    Raises:
        RunInUseError: Another process has them, and ``refuse`` is true.
    """
    try:
        keeper.claim()
    except RunInUseError as error:
        text = f"Another training saves to {filepath!r}: {error}."
        if refuse:
            raise RunInUseError(f"{text} Wait until it has ended, or give this one another filepath.") from error
        warnings.warn(f"{text} Each will overwrite checkpoints of the other.", stacklevel=3)


def check_mirror(mirror: Mirror, *, publishes: bool, refuse: bool) -> None:
    """Check that copies can be written, and claim the place for them.

    Args:
        mirror: The mirror.
        publishes: Whether this process makes the copies; if not, this checks nothing.
        refuse: As for :func:`claim`.

    Raises:
        SaveError: They cannot be written.
        RunInUseError: Another process copies to the same place, and ``refuse`` is true.
    """
    mirror.keeper.publishes = publishes
    if not publishes:
        return
    check_target(mirror.series)
    claim(mirror.keeper, str(mirror.series.directory), refuse=refuse)
    for directory in mirror.series.directories():
        directory.storage.reclaim(directory.path, mirror.series.names)
    warn_of_limits(mirror.series)


def warn_of_limits(series: Series) -> None:
    """Warn, once per directory, if its file system lacks what keeps checkpoints safe."""
    directory = series.directory
    limits: Sequence[str] = ()
    with contextlib.suppress(OSError):  # what cannot be checked may still work
        limits = directory.storage.limits(directory.path, swaps=isinstance(series.format, DirectoryFormat))
    if limits and str(directory) not in _told:
        _told.add(str(directory))
        place = "file system" if directory.storage.answers_at_once else "store"
        warnings.warn(
            f"Checkpoints in {str(directory)!r} are saved, but less safely than elsewhere, because of the {place}. "
            f"{' '.join(limits)}",
            stacklevel=3,
        )


def warn_of_guess(owner: str, monitor: str) -> None:
    """Warn that the direction in which the monitored metric improves is a guess."""
    warnings.warn(
        f"{owner} assumes that a lower '{monitor}' is better, since nothing says otherwise. Pass mode='min' or "
        "mode='max'.",
        stacklevel=4,
    )


def warn_of_space(directory: Location, needed: int) -> None:
    """Warn if there is less free space than a save and the checkpoint before it need.

    Args:
        directory: Where checkpoints go.
        needed: Size of the state to be saved, in bytes.
    """
    free = directory.storage.free_space(directory.path)
    if free is None or free >= _SAFETY * needed:
        return
    warnings.warn(
        f"Only {_megabytes(free)} are free for checkpoints in {str(directory)!r}, and each takes about "
        f"{_megabytes(needed)}. A save needs that much in addition to the checkpoint before it. Free some space.",
        stacklevel=3,
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
