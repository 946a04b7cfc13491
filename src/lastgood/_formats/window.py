"""Saves of a state for which there is no room in memory: a window moves over the file while training waits.

Parts of tensors are copied to their places; once they are digested and written, their pages are given back.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from .._bytes.digests import Running
from .._snapshot import Copy, staging
from .._snapshot.state_copy import Reached, StateCopy


class _Piece(NamedTuple):
    """A part of a tensor, its place, and where in the file it ends."""

    tensor: Any
    place: npt.NDArray[Any]
    stop: int


def copy_in_groups(
    copy: Copy,
    tensors: Sequence[Any],
    places: Sequence[npt.NDArray[Any]],
    starts: Sequence[int],
    reached: Reached,
    most: int,
) -> None:
    """Copy tensors to their places, in groups of about ``most`` bytes.

    Args:
        copy: Copies tensors of this backend.
        tensors: The tensors, in the order of the file.
        places: The place of each.
        starts: The offset of each in the file.
        reached: Called with the end of each group.
        most: Bytes in a group; one row of a tensor may have more.
    """
    group: list[_Piece] = []
    for piece in _pieces(tensors, places, starts, most):
        if group and sum(each.place.nbytes for each in group) + piece.place.nbytes > most:
            _copy(copy, group, reached)
            group = []
        group.append(piece)
    _copy(copy, group, reached)


def _copy(copy: Copy, group: Sequence[_Piece], reached: Reached) -> None:
    if group:
        copy([each.tensor for each in group], [each.place for each in group])
        reached(group[-1].stop)


def _pieces(
    tensors: Sequence[Any], places: Sequence[npt.NDArray[Any]], starts: Sequence[int], most: int
) -> Iterator[_Piece]:
    """Yield tensors that are not larger than ``most``, and the rows of others in several parts."""
    for tensor, place, start in zip(tensors, places, starts, strict=True):
        if place.nbytes <= most or not place.ndim:
            yield _Piece(tensor, place, start + place.nbytes)
            continue
        row = place[0].nbytes
        step = max(1, most // row)
        for at in range(0, len(place), step):
            until = min(at + step, len(place))
            yield _Piece(tensor[at:until], place[at:until], start + until * row)


def move(state: StateCopy, running: Running, origin: int, stop: int) -> None:
    """Digest what has been written, give its pages back, and let the copy continue.

    Args:
        state: The copy of the state.
        running: The digests.
        origin: Where the part of the file begins whose digests these are.
        stop: The offset in the file up to which everything is written.
    """
    for start, end in running.pass_to(stop - origin):
        staging.drop(origin + start, origin + end)
    state.passed(stop)
