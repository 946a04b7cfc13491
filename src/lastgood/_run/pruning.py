"""Deleting checkpoints that a retention policy does not keep."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ArgumentError
from .._policies.monitor import Mode
from .._policies.naming import Template
from .._policies.retention import Context, Retention
from .._record import Record
from .paths import name_below

if TYPE_CHECKING:
    from .run import Checkpoint, Run

Owner = tuple[str, str]
"""A run's name, and a template below its directory: nobody else's checkpoints are touched."""


def prune(
    run: "Run",
    look: "Callable[[], list[Checkpoint]]",
    discard: Callable[[Path], None],
    retention: Retention,
    monitor: str,
    mode: Mode,
    *,
    owner: Owner | None = None,
    dry_run: bool = False,
) -> "list[Checkpoint]":
    """Delete what ``retention`` does not keep, for each owner by itself; return it.

    Args:
        run: The directory.
        look: Returns the checkpoints among which to choose.
        discard: Deletes one.
        retention: The policy.
        monitor: The metric that says which is best.
        mode: The way in which it improves.
        owner: Whose checkpoints alone may be deleted.
        dry_run: Delete nothing.

    Raises:
        OSError: The storage refused.
    """
    if dry_run:
        return _doomed(run, look(), retention, monitor, mode, owner)
    with run.journal.alone():  # a pin that is set meanwhile waits, and finds its checkpoint or does not
        doomed = _doomed(run, look(), retention, monitor, mode, owner)
        for checkpoint in doomed:
            discard(checkpoint.path)
            name = name_below(run.directory, checkpoint.path)
            run.journal.append("prune", path=name, created=checkpoint.created, step=checkpoint.step)
        return doomed


def _doomed(
    run: "Run",
    checkpoints: "Iterable[Checkpoint]",
    retention: Retention,
    monitor: str,
    mode: Mode,
    owner: Owner | None,
) -> "list[Checkpoint]":
    groups: dict[Owner, list[tuple[Checkpoint, Record]]] = {}
    for checkpoint in checkpoints:
        record = checkpoint.record
        if record is None or (owner is not None and (record.run, record.template) != owner):
            continue
        if _is_own(record, name_below(run.directory, checkpoint.path)):
            groups.setdefault((record.run, record.template), []).append((checkpoint, record))
    doomed = []
    for group in groups.values():
        context = Context(monitor, mode, [checkpoint.pinned for checkpoint, _ in group])
        keep = retention.should_keep([record for _, record in group], context)
        doomed += [checkpoint for (checkpoint, _), stays in zip(group, keep, strict=True) if not stays]
    return doomed


def _is_own(record: Record, name: str) -> bool:
    """Tell whether a checkpoint is where its template put it: one that the user copied elsewhere is the user's."""
    try:
        return bool(record.run and record.template) and _template(record.template).matches(name)
    except ArgumentError:  # a record that says what no template is
        return False


@lru_cache(maxsize=16)
def _template(text: str) -> Template:
    return Template(text)
