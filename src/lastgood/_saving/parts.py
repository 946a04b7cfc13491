"""The parts of a model's state that other processes hold, and send to the chief, which saves.

others   hook: copy own parts to the staging buffer -> writer's thread: send them
chief    hook: copy own parts to their places       -> writer's thread: receive the others', then write as usual
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .._formats import Snapshot
from .._group import Group, Invitation, Receiver, Sent, send
from .._keras import ModelAdapter
from .._snapshot import copier, staging
from .._snapshot.parts import Part, own_parts
from .._storage import Report, Stage
from . import writer

_LOGGER = logging.getLogger("lastgood")
_ALIGNED = 64


def with_parts(snapshot: Snapshot, adapter: ModelAdapter, receiver: Receiver) -> Snapshot:
    """Return a snapshot that receives the parts of other processes before it is written."""
    split = adapter.split_variables()
    places = snapshot.places(split)
    elsewhere = sum(place.nbytes for place in places) - sum(
        _bytes_of(adapter, *each) for each in _parts(adapter, split)
    )

    def write(stage: Stage, report: Report) -> None:
        receiver.receive(places, elsewhere)
        snapshot.write(stage, report)

    return replace(snapshot, write=write)


def send_parts(
    adapter: ModelAdapter, group: Group, invitation: Invitation, seconds: float, *, background: bool
) -> None:
    """Copy this process's parts of a model's state, and send them to the chief, which saves them.

    Args:
        adapter: The model.
        group: The processes.
        invitation: The chief's invitation.
        seconds: How long to wait for the chief.
        background: Whether to return once the parts are copied.
    """
    with writer.turn():
        writer.run(partial(_send, group, invitation, _copied(adapter), seconds), background=background)


def _send(group: Group, invitation: Invitation, parts: Sequence[Sent], seconds: float) -> None:
    try:
        send(group.chief_host, invitation, group.rank, parts, seconds * group.size)
    except OSError as error:  # the chief reports at the next meeting that the save has failed
        _LOGGER.warning("Process %d could not send its part of the model's state: %s", group.rank, error)


def _copied(adapter: ModelAdapter) -> list[Sent]:
    """Copy this process's parts to the staging buffer, and return them."""
    split = adapter.split_variables()
    numbers = {id(variable): number for number, variable in enumerate(split)}
    parts = _parts(adapter, split)
    sizes = [_bytes_of(adapter, variable, part) for variable, part in parts]
    memory = staging.shared(sum(map(_aligned, sizes)))
    sent, at = [], 0
    for (variable, part), size in zip(parts, sizes, strict=True):
        place = memory[at : at + size].view(_dtype(adapter, variable)).reshape(part.tensor.shape)
        sent.append(Sent(numbers[id(variable)], part.starts, place))
        at += _aligned(size)
    copier(adapter.backend())([part.tensor for _, part in parts], [each.memory for each in sent])
    return sent


def _parts(adapter: ModelAdapter, variables: Sequence[Any]) -> list[tuple[Any, Part]]:
    return [(variable, part) for variable in variables for part in own_parts(adapter.tensor_of(variable))]


def _bytes_of(adapter: ModelAdapter, variable: Any, part: Part) -> int:
    return int(math.prod(part.tensor.shape)) * _dtype(adapter, variable).itemsize


def _dtype(adapter: ModelAdapter, variable: Any) -> np.dtype[Any]:
    """Return a variable's NumPy type; bfloat16, which NumPy lacks, becomes an integer type."""
    name = adapter.dtype_of(variable)
    return np.dtype("uint16" if name == "bfloat16" else name)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
