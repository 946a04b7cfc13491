"""What can be known to go wrong before the first save, rather than at it."""

import warnings

from .._errors import RunInUseError, SaveError
from .._run import Keeper, Series
from .._storage import Location

# A save needs its own size beside the checkpoint that it replaces.
_SAFETY = 2


def check_target(series: Series) -> None:
    """Check that the template's directory takes files, and that nothing stands where the checkpoint is to go.

    Raises:
        SaveError: The directory cannot be made or written.
        TargetIsDirectoryError: A directory stands at a path without placeholders.
    """
    template, directory = series.template, series.directory
    try:
        series.storage.check_writable(directory.path)
    except OSError as error:
        raise SaveError.during("save checkpoints in", str(directory), error) from error
    if len(template.components()[1]) == 1 and not template.fields:
        series.format.check_replaceable(series.at(template.path(epoch=1, batch=None, logs={})))


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
