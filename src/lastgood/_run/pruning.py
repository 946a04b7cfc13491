"""Deleting checkpoints that a retention policy does not keep."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from .._checkpoint import Checkpoint
from .._errors import ArgumentError
from .._policies.monitor import Mode
from .._policies.naming import Template
from .._policies.retention import Context, Retention
from .._record import Record
from .._storage import Location
from .journal import Journal

Owner = tuple[str, str]
"""A run's name, and its template relative to the directory. Pruning for an owner touches no other checkpoints."""


@dataclass(frozen=True)
class Pruning:
    """The rules for pruning a run.

    Attributes:
        retention: The retention policy.
        monitor: The metric that ranks checkpoints.
        mode: Whether lower or higher values are better.
        owner: The only owner whose checkpoints may be deleted; None to prune each owner separately.
    """

    retention: Retention
    monitor: str
    mode: Mode
    owner: Owner | None = None

    def run(self, directory: Location, journal: Journal, look: Callable[[], list[Checkpoint]]) -> list[Checkpoint]:
        """Delete the checkpoints that the policy does not keep, and return them.

        Args:
            directory: The run's directory.
            journal: Its journal.
            look: Returns the checkpoints to choose from.

        Raises:
            RunInUseError: Another process, which may be suspended, is pinning or pruning in the run.
            OSError: The storage failed. A PermissionError is raised only after all other checkpoints are deleted.
        """
        deleted, refused = [], []
        with journal.alone():  # a concurrent pin waits, and fails if its checkpoint is gone
            for checkpoint in self.doomed(directory, look()):
                at = place_of(directory, checkpoint)
                try:
                    at.storage.discard(at.path)
                except PermissionError as error:  # it may be open elsewhere: delete the others first
                    refused.append(error)
                    continue
                name = name_below(directory, at)
                journal.append("prune", path=name, created=checkpoint.created, step=checkpoint.step)
                deleted.append(checkpoint)
        if refused:
            raise refused[0]
        return deleted

    def doomed(self, directory: Location, checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
        """Return the checkpoints that the policy does not keep."""
        groups: dict[Owner, list[tuple[Checkpoint, Record]]] = {}
        for checkpoint in checkpoints:
            record = checkpoint.record
            if record is None or (self.owner is not None and (record.run, record.template) != self.owner):
                continue
            if _is_own(record, name_below(directory, place_of(directory, checkpoint))):
                groups.setdefault((record.run, record.template), []).append((checkpoint, record))
        doomed = []
        for group in groups.values():
            context = Context(self.monitor, self.mode, [checkpoint.pinned for checkpoint, _ in group])
            keep = self.retention.should_keep([record for _, record in group], context)
            doomed += [checkpoint for (checkpoint, _), stays in zip(group, keep, strict=True) if not stays]
        return doomed


def place_of(directory: Location, checkpoint: Checkpoint) -> Location:
    """Return the location of a checkpoint of the run in ``directory``."""
    path = checkpoint.path
    return path if isinstance(path, Location) else Location(path, directory.storage)


def name_below(directory: Location, at: Location) -> str:
    """Return the path, relative to ``directory``, of a location in it."""
    prefix = str(directory)
    return str(at).removeprefix(prefix if prefix.endswith("/") else f"{prefix}/")


def _is_own(record: Record, name: str) -> bool:
    """Return True if a checkpoint is where its template put it; copies that the user made elsewhere are not pruned."""
    try:
        return bool(record.run and record.template) and _template(record.template).matches(name)
    except ArgumentError:  # the record's template is not valid
        return False


@lru_cache(maxsize=16)
def _template(text: str) -> Template:
    return Template(text)
