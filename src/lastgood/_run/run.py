"""The checkpoints in a directory: list, verify, pin and prune them, also while training writes to it."""

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from .._checkpoint import Checkpoint, Problem
from .._errors import ArgumentError, CorruptCheckpointError, MissingExtraError
from .._formats import file_suffixes, format_at, holds_checkpoint
from .._policies.monitor import Mode, resolve_direction
from .._policies.retention import KeepPolicy, Retention, rank
from .._report.page import framed
from .._report.story import Story, monitored
from .._storage import Info, Location, Seen, locate
from .._threads import each_of
from .annotations import Annotations
from .journal import Journal
from .pruning import Pruning, name_below, place_of
from .series import checkpoint_name, is_aside, seen_in

_DEEPEST = 4

CheckpointLike = Checkpoint | str | os.PathLike[str]


@dataclass(frozen=True)
class _Known:
    """A checkpoint that was read, and a mark that shows whether another one has replaced it.

    Attributes:
        mark: A value that changes when another checkpoint replaces it.
        name: The checkpoint's path, relative to the run.
        checkpoint: The checkpoint, without annotations from the journal.
    """

    mark: Hashable
    name: str
    checkpoint: Checkpoint

    def annotated(self, notes: Annotations) -> Checkpoint:
        """Return the checkpoint with its pin, late metrics and shared bytes."""
        key, record = (self.name, self.checkpoint.created), self.checkpoint.record
        pinned, shared, late = self.name in notes.pinned, notes.shared_by(*key), notes.late.get(key)
        if record is not None and late:
            record = replace(record, metrics={**record.metrics, **late})
            return replace(self.checkpoint, metrics=record.metrics, record=record, pinned=pinned, shared=shared)
        return replace(self.checkpoint, pinned=pinned, shared=shared) if pinned or shared else self.checkpoint


class Run:
    """The checkpoints in a directory and below it, read anew at each call.

    Attributes:
        directory: The directory: a path or, outside the file system, an object whose ``str()`` is the URL.
        journal: The run's journal.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Open the run in ``directory``, which need not exist yet."""
        self._at = locate(directory)
        self.directory = self._at.public()
        self.journal = Journal(self._at.storage.event_log(self._at.path))
        self._known: dict[Location, _Known] = {}

    def __repr__(self) -> str:
        count = len(self.checkpoints)
        return f"<lastgood run {str(self.directory)!r}: {count} {'checkpoint' if count == 1 else 'checkpoints'}>"

    def _repr_html_(self) -> str | None:
        """Return the run's report for a notebook; None if the packages that draw it are not installed."""
        try:
            return framed(story_of(self))
        except MissingExtraError:
            return None

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints by step. Those of stock Keras have no record and come first, oldest first."""
        return self.look_at(_walk(self._at, 0))

    def directly_inside(self) -> list[Checkpoint]:
        """Return the checkpoints in the directory itself, and not below it, in the order of :attr:`checkpoints`."""
        return self.look_at(_walk(self._at, _DEEPEST))

    def look_at(self, places: Iterable[Seen]) -> list[Checkpoint]:
        """Return the checkpoints at ``places`` in the directory, in the order of :attr:`checkpoints`."""
        annotations = self.journal.annotations()
        found = list(places)
        looked_at = each_of(self._look_at, found, self._at.storage.reads_at_once)
        known = {seen.at: each for seen, each in zip(found, looked_at, strict=True) if each is not None}
        self._known = known  # drops checkpoints that are gone
        checkpoints = [each.annotated(annotations) for each in known.values()]
        return sorted(checkpoints, key=lambda each: (-1 if each.step is None else each.step, each.created))

    @property
    def latest(self) -> Checkpoint | None:
        """The checkpoint with the highest step; None if there is none."""
        return next(reversed(self.checkpoints), None)

    def best(self, monitor: str | None = None, mode: str | None = None) -> Checkpoint | None:
        """Return the best checkpoint by a metric; None if no checkpoint has the metric.

        Args:
            monitor: The metric; None for the one that training monitors.
            mode: ``"min"``, ``"max"``, or ``"auto"`` to choose by the metric's name; None for the mode of training.
        """
        monitor, direction = self._ranking(monitor, mode)
        known = [each for each in self.checkpoints if each.record is not None]
        records = [each.record for each in known if each.record is not None]
        order = rank(records, monitor, direction)
        return known[order[0]] if order else None

    def verify(self, *paths: str | os.PathLike[str]) -> list[Problem]:
        """Check every byte that has a digest.

        Args:
            *paths: The checkpoints to check; all of the run if you pass none.

        Returns:
            The problems found; an empty list if all checkpoints are intact.
        """
        found = map(_problem_of, map(locate, paths) if paths else self._locations(self.checkpoints))
        return [problem for problem in found if problem is not None]

    def pin(self, checkpoint: CheckpointLike) -> None:
        """Protect a checkpoint from pruning.

        Raises:
            ArgumentError: A ValueError: the checkpoint is not in this run.
            RunInUseError: An OSError: another process, which may be suspended, is pinning or pruning in the run.
        """
        with self.journal.alone():
            self.journal.append("pin", path=self._existing_name(checkpoint), durable=True)

    def unpin(self, checkpoint: CheckpointLike) -> None:
        """Allow a checkpoint to be pruned again.

        Raises:
            ArgumentError: A ValueError: the checkpoint is not in this run.
            RunInUseError: An OSError: another process, which may be suspended, is pinning or pruning in the run.
        """
        with self.journal.alone():
            self.journal.append("unpin", path=self._existing_name(checkpoint), durable=True)

    def attach(self, checkpoint: CheckpointLike, metrics: Mapping[str, float]) -> None:
        """Add metrics to a checkpoint after its save. They count for its rank; the file does not change.

        Raises:
            ArgumentError: A ValueError: the checkpoint is not in this run, or has no record.
        """
        name = self._existing_name(checkpoint)
        found = self._look_at(Seen(self._at / name))
        if found is None or found.checkpoint.record is None:
            raise ArgumentError(f"{name!r} has no record, so metrics cannot be attached to it.")
        values = {metric: float(value) for metric, value in metrics.items()}
        self.journal.append("metrics", path=name, created=found.checkpoint.created, metrics=values)

    def prune(
        self,
        *,
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        keep: KeepPolicy | None = None,
        monitor: str | None = None,
        mode: str | None = None,
        dry_run: bool = False,
    ) -> list[Checkpoint]:
        """Delete checkpoints that no rule keeps, separately for each run and template in the directory.

        The best, the latest and pinned checkpoints always stay, and so does every file without a lastgood record.

        Args:
            keep_last: How many of the latest checkpoints to keep.
            keep_best: How many of the best checkpoints by ``monitor`` to keep.
            keep_every: Keep the first checkpoint at or after each multiple of this many steps, or in each time span.
            keep: Your own policy, which can keep more.
            monitor: The metric that ranks checkpoints; None for the one that training monitors.
            mode: ``"min"``, ``"max"``, or ``"auto"`` to choose by the metric's name; None for the mode of training.
            dry_run: Delete nothing; only return what would be deleted.

        Returns:
            The checkpoints that were deleted, or would be.

        Raises:
            ArgumentError: A ValueError: an argument has an invalid value, or no rule is given.
            RunInUseError: An OSError: another process, which may be suspended, is pinning or pruning in the run.
            OSError: The storage failed, or refused a deletion.
        """
        retention = Retention.parse(keep_last, keep_best, keep_every, keep)
        if not retention.prunes:
            raise ArgumentError("No retention rule is given. Pass keep_last, keep_best, keep_every or keep.")
        pruning = Pruning(retention, *self._ranking(monitor, mode))
        if dry_run:
            return pruning.doomed(self._at, self.checkpoints)
        return pruning.run(self._at, self.journal, lambda: self.checkpoints)

    def listing(self, monitor: str | None = None, mode: str | None = None) -> list[dict[str, Any]]:
        """Return the checkpoints by step as plain values, with flags for the best, the latest and the pinned ones.

        Args:
            monitor: The metric that ranks checkpoints; None for the one that training monitors.
            mode: ``"min"``, ``"max"``, or ``"auto"`` to choose by the metric's name; None for the mode of training.
        """
        checkpoints, best = self.checkpoints, self.best(monitor, mode)
        return [
            {
                "path": self.name_of(each),
                "format": each.format,
                "step": each.step,
                "epoch": each.epoch,
                "batch": each.batch,
                "metrics": dict(each.metrics),
                "size": each.size,
                "shared": each.shared,
                "created": each.created,
                "best": best is not None and each.path == best.path,
                "latest": each is checkpoints[-1],
                "pinned": each.pinned,
            }
            for each in checkpoints
        ]

    def _ranking(self, monitor: str | None, mode: str | None) -> tuple[str, Mode]:
        """Return the metric to rank by, and its mode: those requested, or those that training uses."""
        if monitor is not None and mode is not None:
            return monitor, resolve_direction(monitor, mode, {}).mode  # without reading the journal
        return _ranking(monitor, mode, *(monitored(list(self.journal.events())) or ("val_loss", "auto")))

    def log_to_mlflow(self, *, files: bool = False) -> None:
        """Log the list of checkpoints as the artifact ``lastgood/checkpoints.json`` of MLflow's active run.

        Args:
            files: Whether to log the checkpoints themselves, too.

        Raises:
            MissingExtraError: An ImportError: MLflow is not installed.
        """
        try:
            import mlflow
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_feature("Logging to MLflow", "mlflow", "mlflow") from error
        mlflow.log_dict({"checkpoints": self.listing()}, "lastgood/checkpoints.json")
        for at in self._locations(self.checkpoints) if files else ():
            with at.local() as path:
                if at.kind == "directory":
                    mlflow.log_artifacts(str(path), "lastgood")
                    continue
                for name in at.files():
                    mlflow.log_artifact(f"{path}{name}", "lastgood")

    def name_of(self, checkpoint: Checkpoint) -> str:
        """Return a checkpoint's path relative to the directory, with ``/`` between its parts."""
        return name_below(self._at, place_of(self._at, checkpoint))

    def _locations(self, checkpoints: Iterable[Checkpoint]) -> list[Location]:
        return [place_of(self._at, each) for each in checkpoints]

    def _look_at(self, seen: Seen) -> _Known | None:
        """Return the checkpoint at a place, read again only if it has changed; None if it is gone."""
        try:
            info = seen.info()
            known = self._known.get(seen.at)
            if known is None or known.mark != info.mark:
                known = _Known(info.mark, name_below(self._at, seen.at), _read(seen.at, info))
        except OSError:
            return None
        return known

    def _existing_name(self, checkpoint: CheckpointLike) -> str:
        """Return a checkpoint's path, relative to the run.

        Raises:
            ArgumentError: The run has no checkpoint at that path.
        """
        path = checkpoint.path if isinstance(checkpoint, Checkpoint) else checkpoint
        own = _absolute(self._at)
        for at in (locate(path), self._at / os.fspath(path)):
            whole = _absolute(at)
            if whole.is_relative_to(own) and whole != own and (at.kind is not None or at.is_link()):
                return whole.relative_to(own).as_posix()
        raise ArgumentError(f"There is no checkpoint {str(path)!r} in the run {str(self.directory)!r}.")


def _absolute(at: Location) -> PurePath:
    return at.path.absolute() if isinstance(at.path, Path) else at.path


def story_of(run: Run, monitor: str | None = None, mode: str | None = None) -> Story:
    """Return the contents of a run's report.

    Args:
        run: The run.
        monitor: The metric that ranks checkpoints; None for the one that training monitored.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to choose by the metric's name; None for the mode of training.
    """
    events = list(run.journal.events())
    monitor, direction = _ranking(monitor, mode, *(monitored(events) or ("val_loss", "auto")))
    checkpoints = {run.name_of(each): each for each in run.checkpoints}
    return Story.of(str(run.directory), checkpoints, run.best(monitor, direction), events, monitor, direction)


def _ranking(monitor: str | None, mode: str | None, own_monitor: str, own_mode: str) -> tuple[str, Mode]:
    """Return the metric to rank by and its mode: those requested, or those that training used.

    If the mode of training's metric is unknown, rank by ``val_loss`` rather than guess it.
    """
    own = resolve_direction(own_monitor, mode or own_mode, {})
    if monitor is None and not own.guessed:
        return own_monitor, own.mode
    chosen = monitor or "val_loss"
    return chosen, own.mode if chosen == own_monitor else resolve_direction(chosen, mode or "auto", {}).mode


def open_run(directory: str | os.PathLike[str]) -> Run:
    """Return the run in a directory, to inspect, pin and prune its checkpoints.

    Args:
        directory: Where a callback saves; training may still be running.

    Raises:
        ArgumentError: A ValueError: the directory does not exist.
    """
    if locate(directory).kind != "directory":
        raise ArgumentError(
            f"There is no directory {os.fspath(directory)!r}. Pass the directory that checkpoints are saved in."
        )
    return Run(directory)


def _problem_of(at: Location) -> Problem | None:
    """Return the problem of a checkpoint; None if it is intact, or was pruned after it was listed."""
    while True:
        try:
            mark = at.info().mark
            problem = _check(at)
            if problem is None or at.info().mark == mark:
                return problem
        except FileNotFoundError:
            return None
        # Another checkpoint has replaced it meanwhile, and the check may have read parts of both: repeat it.


def _check(at: Location) -> Problem | None:
    try:
        format_at(at).verify(at)
    except CorruptCheckpointError as error:
        return Problem(at.public(), error.region, f"It {error.damage}.")
    except FileNotFoundError:
        raise
    except OSError as error:
        return Problem(at.public(), "the whole checkpoint", f"It cannot be read: {error}")
    return None


def _read(at: Location, info: Info) -> Checkpoint:
    """Return a checkpoint as its record describes it.

    Args:
        at: The checkpoint.
        info: The storage's description of it. Without a record, its modification time stands for the creation time.

    Raises:
        OSError: The checkpoint is gone, or the storage failed.
    """
    written, size = info.modified_ns / 1e9, info.size if info.kind == "file" else at.size()
    file_format = format_at(at, info.kind)
    record = file_format.read_record(at)
    if record is None:
        return Checkpoint(at.public(), file_format.name, size, written, None, None, None, {}, False, None)
    place = (record.step, record.epoch, record.batch)
    return Checkpoint(at.public(), record.format, size, record.created, *place, record.metrics, False, record)


def _walk(directory: Location, depth: int) -> Iterator[Seen]:
    """Yield possible checkpoints in ``directory`` and below it; links to directories are not followed."""
    try:
        entries = sorted(directory.entries())
    except OSError:
        return
    suffixes = file_suffixes()
    for entry in entries:
        name = checkpoint_name(entry)
        if entry.name.startswith(".") or name is None or is_aside(name) or entry.kind is None:
            continue
        at = directory / name
        if entry.kind == "file":
            if name != entry.name or PurePosixPath(name).suffix in suffixes:
                yield seen_in(directory, entry)
        elif entry.is_link:
            continue
        elif _holds_checkpoint(at):
            yield Seen(at)
        elif depth < _DEEPEST:
            yield from _walk(at, depth + 1)


def _holds_checkpoint(at: Location) -> bool:
    try:
        return holds_checkpoint(at)
    except OSError:  # it was removed after it was listed
        return False
