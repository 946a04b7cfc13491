"""What can be known to go wrong before the first save, rather than at it."""

import contextlib
import warnings
from collections.abc import Sequence

from .._errors import RunInUseError, SaveError
from .._formats import Format
from .._formats.directory import DirectoryFormat
from .._run import Keeper, Series
from .._storage import Location
from .mirror import Mirror

# A save needs its own size beside the checkpoint that it replaces.
_SAFETY = 2
_told: set[str] = set()  # the directories of whose file systems something was said


def check_target(series: Series) -> None:
    """Check that the template's directory takes files, and that nothing stands where the checkpoint is to go.

    Raises:
        SaveError: The directory cannot be made or written, or the file at a path without placeholders cannot.
        TargetIsDirectoryError: A directory stands at a path without placeholders.
    """
    template, directory = series.template, series.directory
    try:
        series.storage.check_writable(directory.path)
    except OSError as error:
        raise SaveError.during("save checkpoints in", str(directory), error) from error
    if len(template.components()[1]) == 1 and not template.fields:
        _check_place(series.format, series.at(template.path(epoch=1, batch=None, logs={})))


def _check_place(file_format: Format, at: Location) -> None:
    """Check that each save may take the place of what is at ``at``."""
    file_format.check_replaceable(at)
    try:
        at.storage.check_overwritable(at.path)
    except OSError as error:
        raise SaveError.during("save checkpoints to", str(at), error) from error
    if at.is_link():
        warnings.warn(
            f"{str(at)!r} is a symbolic link. A save takes its place, and leaves alone what it leads to. To save to "
            "what it leads to, pass that path as filepath.",
            stacklevel=5,
        )


def claim(keeper: Keeper, filepath: str, *, refuse: bool) -> None:
    """Claim a template's paths for this process, or warn that another process has them.

    Args:
        keeper: What keeps them.
        filepath: The template, as the user gave it.
        refuse: Whether this training would delete them, or continue from them.

    Raises:
        RunInUseError: It would, and another process has them.
    """
    try:
        keeper.claim()
    except RunInUseError as error:
        text = f"Another training saves to {filepath!r}: {error}."
        if refuse:
            raise RunInUseError(f"{text} Wait until it has ended, or give this one another filepath.") from error
        warnings.warn(f"{text} Each will overwrite checkpoints of the other.", stacklevel=3)


def check_mirror(mirror: Mirror, *, publishes: bool, refuse: bool) -> None:
    """Check that copies can go where they are to go, and claim that place.

    Args:
        mirror: The copies.
        publishes: Whether this process makes them.
        refuse: As for :func:`claim`.

    Raises:
        SaveError: They cannot.
        RunInUseError: Another process copies to there.
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
    """Warn, once a directory, of what its file system cannot do and checkpoints are kept safe by."""
    directory = series.directory
    limits: Sequence[str] = ()
    with contextlib.suppress(OSError):  # what cannot be found out may work all the same
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
    """Warn that nothing says how the monitored metric improves."""
    warnings.warn(
        f"{owner} takes less '{monitor}' to be better, since nothing says otherwise. Pass mode='min' or mode='max'.",
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
        f"{_megabytes(needed)}. A save needs that much beside the checkpoint before it: free some space.",
        stacklevel=3,
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
