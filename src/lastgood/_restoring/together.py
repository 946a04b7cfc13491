"""The checkpoint from which all processes of a training resume, each with its own state."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._bytes.training_block import TrainingBlock, read_block
from .._errors import CorruptCheckpointError, RestoreError
from .._formats import Format, format_at
from .._group import Meeting
from .._snapshot.copying import copy_arrays
from .._state import check
from .._storage import Location, locate
from .found import Found, newest_intact, open_checkpoint

_OWN = ("position", "randomness", "extra")
"""State that may differ between processes, and then cannot be divided among another number of them."""


def find_together(candidates: Callable[[], Sequence[tuple[Location, Format]]], meeting: Meeting) -> Found | None:
    """Return the newest intact checkpoint with the state of this process: the chief finds it, and all read it.

    Args:
        candidates: Returns locations and formats, newest first.
        meeting: The meeting of the processes.

    Raises:
        RestoreError: There are candidates, but none that all processes can use.
    """
    found = newest_intact(candidates()) if meeting.is_chief else None
    path = meeting.tell(None if found is None else str(found.at))
    if path is None:
        return None
    if found is None:
        found = _seen_here(locate(path), meeting)
    found = _of_process(found, meeting)
    meeting.conclude()  # restoring may wait for all processes, so none begins if one cannot
    return found


def _seen_here(at: Location, meeting: Meeting) -> Found:
    if at.kind is None:
        raise RestoreError(
            f"There is no checkpoint at {str(at)!r} for process {meeting.rank} of {meeting.size}, but process 0 has "
            "found one there. Save to a file system that all processes share, or to a bucket."
        )
    return open_checkpoint(at, format_at(at))


def _of_process(found: Found, meeting: Meeting) -> Found:
    """Return a checkpoint with the state of this process.

    Raises:
        RestoreError: Another number of processes saved it, each with a different state.
    """
    try:
        others = [read_block(block) for block in found.state.get("processes", ())]
        states = [{**found.state, **own, "processes": []} for own in others]
        for state in states:
            check.check(state)
    except (ValueError, TypeError) as error:
        raise CorruptCheckpointError(found.at, "the state of one of its processes", str(error)) from error
    if len(others) + 1 == meeting.size:
        return replace(found, state=states[meeting.rank - 1]) if meeting.rank else found
    count = f"{len(others) + 1} processes" if others else "1 process"
    saved_by = f"The checkpoint {str(found.at)!r} was saved by {count}, not {meeting.size}"
    if any(_own(state) != _own(found.state) for state in states):
        raise RestoreError(
            f"{saved_by}. Each had its own random numbers or position in the data, which cannot be divided among "
            f"another number. Start {count}; or load the weights with lastgood.load_weights(), "
            "save to another path, and begin a new run."
        )
    warnings.warn(
        f"{saved_by}. Its state is restored exactly. From here on, sums are computed in another order, so results are "
        "equal up to rounding, and only if each step sees the same samples in total.",
        stacklevel=5,
    )
    return found


def _own(state: Mapping[str, Any]) -> bytes:
    return TrainingBlock({name: state.get(name) for name in _OWN}).to_bytes(copy_arrays)
