"""Checkpoints that all processes write: each its own parts of the model's state, to files of its own.

others   hook: copy own parts to the staging buffer -> writer's thread: write them where the chief says
chief    hook: copy own parts to the staging buffer -> writer's thread: say where, write, wait for the others -> commit
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .._bytes import digests
from .._errors import GroupError, LastgoodError
from .._formats import Format, Snapshot
from .._formats.base import Write
from .._group import Files, Group, Invitation, Receiver, led, write_along
from .._keras import ModelAdapter
from .._storage import Location, Report, Stage, locate
from . import writer

_LOGGER = logging.getLogger("lastgood")


def with_others(
    snapshot: Snapshot, adapter: ModelAdapter, file_format: Format, receiver: Receiver, at: Location
) -> Snapshot:
    """Return a snapshot that is written together with the other processes.

    Args:
        snapshot: What the chief writes.
        adapter: The model.
        file_format: The format.
        receiver: The receiver that the others connect to.
        at: Where the checkpoint will appear.
    """
    expected = file_format.files_elsewhere(adapter)

    def write(stage: Stage, report: Report) -> None:
        with led(receiver, [str(at), stage.admit()]) as wait:
            snapshot.write(stage, report)
            files = wait()
        if files.keys() != expected:
            raise GroupError(
                f"The other processes have written {len(files)} parts of the model's state, but should have written "
                f"{len(expected)} others. Build the same model in each process."
            )
        stage.add(files)

    return replace(snapshot, write=write)


def write_own_parts(
    adapter: ModelAdapter,
    file_format: Format,
    group: Group,
    invitation: Invitation,
    seconds: float,
    *,
    background: bool,
) -> None:
    """Copy this process's parts of a model's state, and write them to the chief's save.

    Args:
        adapter: The model.
        file_format: The format.
        group: The processes.
        invitation: The chief's invitation.
        seconds: How long to wait for the chief.
        background: Whether to return once the parts are copied.
    """
    with writer.turn():
        write = partial(_write, file_format.own_parts(adapter))
        writer.run(partial(_join, group, invitation, seconds, write), background=background)


def try_out_stage(receiver: Receiver, directory: Location) -> None:
    """Let each of the other processes write a small file to a stage that is then dropped.

    Args:
        receiver: The receiver that they connect to.
        directory: The run's directory.

    Raises:
        GroupError: One of them cannot.
        OSError: The storage failed.
    """
    at = directory / "trial"
    with at.storage.stage(at.path, "") as stage:
        stage.withdrawn = True
        with led(receiver, [str(at), stage.admit()]) as wait:
            stage.add(wait())


def try_out_joining(group: Group, invitation: Invitation, seconds: float) -> None:
    """Write a small file to a stage of the chief.

    Args:
        group: The processes.
        invitation: The chief's invitation.
        seconds: How long to wait for the chief.

    Raises:
        OSError: This process cannot reach the chief, or does not see the stage.
    """
    name = f"of-process-{group.rank}"

    def write(stage: Stage, report: Report) -> list[str]:
        stage.write(name, name.encode())
        report(len(name))
        return [name]

    write_along(group.chief_host, invitation, group.rank, seconds * group.size, partial(_write, write))


def _join(group: Group, invitation: Invitation, seconds: float, write: Callable[..., Files]) -> None:
    try:
        write_along(group.chief_host, invitation, group.rank, seconds * group.size, write)
    except (OSError, LastgoodError) as error:  # the chief reports at the next meeting that the save has failed
        _LOGGER.warning("Process %d could not write its part of the model's state: %s", group.rank, error)


def _write(write: Write, place: tuple[str, str], busy: Callable[[], None]) -> Files:
    """Write the copied parts to the stage that the chief has named; return their files."""
    target, admission = place
    at = locate(target)
    with at.storage.join(at.path, admission) as stage:
        names = write(stage, lambda _: busy())
        found = digests.of_files([partial(stage.open, name) for name in names])
    return dict(zip(names, found, strict=True))
