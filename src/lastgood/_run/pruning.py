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
"""A run's name, and a template below its directory: nobody else's checkpoints are touched."""


@dataclass(frozen=True)
class Pruning:
    """What to delete of a run.

    Attributes:
        retention: The policy.
        monitor: The metric that says which is best.
        mode: The way in which it improves.
        owner: Whose checkpoints alone may be deleted; None for all owners, each by itself.
    """

    retention: Retention
    monitor: str
    mode: Mode
    owner: Owner | None = None

    def run(self, directory: Location, journal: Journal, look: Callable[[], list[Checkpoint]]) -> list[Checkpoint]:
        """Delete what the policy does not keep; return it.

        Args:
            directory: The run's directory.
            journal: Its journal.
            look: Returns the checkpoints among which to choose.

        Raises:
            RunInUseError: Another process pins or prunes there, and may have been stopped.
            OSError: The storage failed; of a checkpoint that may not be deleted it is told when all others are.
        """
        deleted, refused = [], []
        with journal.alone():  # a pin that is set meanwhile waits, and finds its checkpoint or does not
            for checkpoint in self.doomed(directory, look()):
                at = place_of(directory, checkpoint)
                try:
                    at.storage.discard(at.path)
                except PermissionError as error:  # somebody may have it open: the others can go all the same
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
    """Return the name in ``directory`` of a location that begins with it."""
    prefix = str(directory)
    return str(at).removeprefix(prefix if prefix.endswith("/") else f"{prefix}/")


def _is_own(record: Record, name: str) -> bool:
    """Return True if a checkpoint is where its template put it: one that the user copied elsewhere is the user's."""
    try:
        return bool(record.run and record.template) and _template(record.template).matches(name)
    except ArgumentError:  # a record that says what no template is
        return False


@lru_cache(maxsize=16)
def _template(text: str) -> Template:
    return Template(text)
