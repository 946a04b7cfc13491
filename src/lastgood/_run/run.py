"""A directory of checkpoints, to look at and to tidy up; it works while the run is being written."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from .._errors import ArgumentError, CorruptCheckpointError, MissingExtraError
from .._formats import format_at, holds_checkpoint
from .._policies.monitor import resolve_direction
from .._policies.retention import Retention, rank
from .._record import Record
from .._storage import choose_storage, entries
from .journal import Journal
from .notes import Notes
from .paths import is_aside, name_below
from .pruning import prune

_ENDINGS = (".keras", ".h5", ".hdf5")
_DEEPEST = 4


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a run, and what is known of it.

    Attributes:
        path: Where it is.
        format: Its format's name, such as ``"keras"``.
        size: Its length in bytes.
        created: When it was made, in seconds since 1970; when it was written, if it has no record.
        step: The optimizer's step; None if it has no record: stock Keras wrote it.
        epoch: The epoch, counted from 1; None if it has no record.
        batch: Batches done in that epoch; None for a save at its end.
        metrics: Its metrics by name, with those that came after the save.
        pinned: Whether it is never to be pruned.
        record: All that it says of itself, with the metrics above; None if it has no record.
    """

    path: Path
    format: str
    size: int
    created: float
    step: int | None
    epoch: int | None
    batch: int | None
    metrics: Mapping[str, float]
    pinned: bool
    record: Record | None


@dataclass(frozen=True)
class _Known:
    """A checkpoint as it was read, and by what to see that it is another one by now.

    Attributes:
        mark: The file's number, which another file has though it be as long and as old; its time; its length.
        name: The checkpoint's path in the run.
        checkpoint: The checkpoint, without what the journal says of it.
    """

    mark: tuple[int, int, int]
    name: str
    checkpoint: Checkpoint

    def with_notes(self, notes: Notes) -> Checkpoint:
        """Return the checkpoint with its late metrics, and whether it is pinned."""
        pinned, late = self.name in notes.pinned, notes.late.get((self.name, self.checkpoint.created))
        record = self.checkpoint.record
        if record is not None and late:
            record = replace(record, metrics={**record.metrics, **late})
            return replace(self.checkpoint, metrics=record.metrics, record=record, pinned=pinned)
        return replace(self.checkpoint, pinned=pinned) if pinned else self.checkpoint


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a checkpoint.

    Attributes:
        path: The checkpoint.
        region: What is damaged, in words.
        reason: All there is to say of it.
    """

    path: Path
    region: str
    reason: str


class Run:
    """The checkpoints in a directory, and below it. Each question is answered by what is there now."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Take the directory; it need not exist yet."""
        self.directory = Path(directory)
        self._journal = Journal(self.directory)
        self._known: dict[Path, _Known] = {}

    def __repr__(self) -> str:
        return f"<lastgood run {str(self.directory)!r}: {len(self.checkpoints)} checkpoints>"

    def _repr_html_(self) -> str | None:
        """Return the run's report, for a notebook to show; None where what draws it is not installed."""
        from .._report.page import framed

        try:
            return framed(self)
        except MissingExtraError:
            return None

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints by step; those without a record, which stock Keras wrote, come first, the oldest first."""
        return self.look_at(_walk(self.directory, 0))

    def look_at(self, paths: Iterable[Path]) -> list[Checkpoint]:
        """Return the checkpoints at some paths in the directory, in the order of :attr:`checkpoints`."""
        notes = self._journal.notes()
        known = {path: each for path in paths if (each := self._look_at(path)) is not None}
        self._known = known  # what is gone is forgotten
        found = [each.with_notes(notes) for each in known.values()]
        return sorted(found, key=lambda each: (-1 if each.step is None else each.step, each.created))

    @property
    def latest(self) -> Checkpoint | None:
        """The one with the highest step; None if there is none."""
        return next(reversed(self.checkpoints), None)

    def best(self, monitor: str = "val_loss", mode: str = "auto") -> Checkpoint | None:
        """Return the best checkpoint by a metric; None if none has it.

        Args:
            monitor: The metric.
            mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name.
        """
        known = [each for each in self.checkpoints if each.record is not None]
        records = [each.record for each in known if each.record is not None]
        order = rank(records, monitor, resolve_direction(monitor, mode, {}).mode)
        return known[order[0]] if order else None

    def verify(self, *paths: str | os.PathLike[str]) -> list[Problem]:
        """Check every byte that has a digest.

        Args:
            *paths: Checkpoints; all of the run if none is given.

        Returns:
            What is wrong; nothing if all is intact.
        """
        found = map(_problem_of, [Path(path) for path in paths] or [each.path for each in self.checkpoints])
        return [problem for problem in found if problem is not None]

    def pin(self, checkpoint: Checkpoint | str | os.PathLike[str]) -> None:
        """Have a checkpoint never be pruned.

        Raises:
            ArgumentError: A ValueError: it is none of this run's.
            RunInUseError: An OSError: another process pins or prunes there, and may have been stopped.
        """
        with self._journal.alone():
            self._journal.append("pin", path=self._name_of(checkpoint), durable=True)

    def unpin(self, checkpoint: Checkpoint | str | os.PathLike[str]) -> None:
        """Let a checkpoint be pruned again.

        Raises:
            ArgumentError: A ValueError: it is none of this run's.
            RunInUseError: An OSError: another process pins or prunes there, and may have been stopped.
        """
        with self._journal.alone():
            self._journal.append("unpin", path=self._name_of(checkpoint), durable=True)

    def attach(self, checkpoint: Checkpoint | str | os.PathLike[str], metrics: Mapping[str, float]) -> None:
        """Add metrics to a checkpoint that came after it was saved: they rank it; the file stays as it is.

        Raises:
            ArgumentError: A ValueError: it is none of this run's, or has no record.
        """
        name = self._name_of(checkpoint)
        found = self._look_at(self.directory / name)
        if found is None or found.checkpoint.record is None:
            raise ArgumentError(f"{name!r} has no record, so metrics cannot be attached to it.")
        values = {metric: float(value) for metric, value in metrics.items()}
        self._journal.append("metrics", path=name, created=found.checkpoint.created, metrics=values)

    def prune(
        self,
        *,
        keep_last: int | None = None,
        keep_best: int | None = None,
        keep_every: int | timedelta | None = None,
        monitor: str = "val_loss",
        mode: str = "auto",
        dry_run: bool = False,
    ) -> list[Checkpoint]:
        """Delete checkpoints that nothing says to keep, for each run and template in the directory by itself.

        The best, the latest and the pinned always stay, and whatever has no record of ours.

        Args:
            keep_last: How many of the highest steps to keep.
            keep_best: How many of the best by ``monitor`` to keep.
            keep_every: Keep the first at or after each multiple of so many steps, or the first of each span of time.
            monitor: The metric that says which is best.
            mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name.
            dry_run: Delete nothing, and only say what would be.

        Returns:
            What was deleted, or would be.

        Raises:
            ArgumentError: A ValueError: an argument's value cannot work, or nothing says what to keep.
            RunInUseError: An OSError: another process pins or prunes there, and may have been stopped.
            OSError: The storage refused.
        """
        retention = Retention.parse(keep_last, keep_best, keep_every)
        if not retention.prunes:
            raise ArgumentError("Nothing says what to keep. Pass keep_last, keep_best or keep_every.")
        direction = resolve_direction(monitor, mode, {}).mode
        discard = choose_storage(str(self.directory)).discard
        return prune(self, lambda: self.checkpoints, discard, retention, monitor, direction, dry_run=dry_run)

    def listing(self, monitor: str = "val_loss", mode: str = "auto") -> list[dict[str, Any]]:
        """Return the checkpoints by step as plain values, each with whether it is the best, the latest, or pinned.

        Args:
            monitor: The metric that says which is best.
            mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name.
        """
        checkpoints, best = self.checkpoints, self.best(monitor, mode)
        return [
            {
                "path": each.path.relative_to(self.directory).as_posix(),
                "format": each.format,
                "step": each.step,
                "epoch": each.epoch,
                "batch": each.batch,
                "metrics": dict(each.metrics),
                "size": each.size,
                "created": each.created,
                "best": best is not None and each.path == best.path,
                "latest": each is checkpoints[-1],
                "pinned": each.pinned,
            }
            for each in checkpoints
        ]

    def log_to_mlflow(self, *, files: bool = False) -> None:
        """Log the list of checkpoints as the artifact ``lastgood/checkpoints.json`` of MLflow's active run.

        Args:
            files: Whether to log the checkpoints, too.

        Raises:
            MissingExtraError: An ImportError: MLflow is not installed.
        """
        try:
            import mlflow
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_feature("Logging to MLflow", "mlflow", "mlflow") from error
        mlflow.log_dict({"checkpoints": self.listing()}, "lastgood/checkpoints.json")
        for each in self.checkpoints if files else ():
            if each.path.is_dir():
                mlflow.log_artifacts(str(each.path), "lastgood")
                continue
            for file in entries.members(each.path) if entries.is_group(each.path) else [each.path]:
                mlflow.log_artifact(str(file), "lastgood")

    @property
    def journal(self) -> Journal:
        """What is known of the run beside its checkpoints."""
        return self._journal

    def _look_at(self, path: Path) -> _Known | None:
        """Return what is at ``path``, read once while nothing changes it; None if it is gone."""
        try:
            stat = entries.stat(path)
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            known = self._known.get(path)
            if known is None or known.mark != mark:
                checkpoint = _read(path, written=stat.st_mtime)
                known = _Known(mark, name_below(self.directory, path), checkpoint)
        except OSError:
            return None
        return known

    def _name_of(self, checkpoint: Checkpoint | str | os.PathLike[str]) -> str:
        """Return a checkpoint's path in the run.

        Raises:
            ArgumentError: There is none at that path in this run.
        """
        path = checkpoint.path if isinstance(checkpoint, Checkpoint) else Path(checkpoint)
        for candidate in (path, self.directory / path):
            if entries.exists(candidate) and candidate.absolute().is_relative_to(self.directory.absolute()):
                return candidate.absolute().relative_to(self.directory.absolute()).as_posix()
        raise ArgumentError(f"There is no checkpoint {str(path)!r} in the run {str(self.directory)!r}.")


def open_run(directory: str | os.PathLike[str]) -> Run:
    """Return the run in a directory, to look at its checkpoints and to tidy them up.

    Args:
        directory: Where a callback saves; its training may be running.

    Raises:
        ArgumentError: A ValueError: there is no such directory.
    """
    if not Path(directory).is_dir():
        raise ArgumentError(
            f"There is no directory {os.fspath(directory)!r}. Pass the one that checkpoints are saved in."
        )
    return Run(directory)


def _problem_of(path: Path) -> Problem | None:
    """Return what is wrong with a checkpoint; nothing if it is intact, or pruned since it was listed."""
    while True:
        try:
            mark = _mark(path)
            problem = _check(path)
            if problem is None or _mark(path) == mark:
                return problem
        except FileNotFoundError:
            return None
        # Else another has taken its place meanwhile, and what was read may be of both.


def _check(path: Path) -> Problem | None:
    try:
        format_at(path).verify(path)
    except CorruptCheckpointError as error:
        return Problem(path, error.region, str(error))
    except FileNotFoundError:
        raise
    except OSError as error:
        return Problem(path, "all of it", f"It cannot be read: {error}")
    return None


def _mark(path: Path) -> tuple[int, int, int]:
    """Return what is another one when another checkpoint takes the place of that at ``path``."""
    stat = entries.stat(path)
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def _read(path: Path, *, written: float) -> Checkpoint:
    """Read what a checkpoint says of itself.

    Args:
        path: The checkpoint.
        written: When it was written: if it says nothing, that has to do.

    Raises:
        OSError: It is gone, or the system refused.
    """
    file_format = format_at(path)
    record, size = file_format.read_record(path), entries.tree_bytes(path)
    if record is None:
        return Checkpoint(path, file_format.name, size, written, None, None, None, {}, False, None)
    place = (record.step, record.epoch, record.batch)
    return Checkpoint(path, record.format, size, record.created, *place, record.metrics, False, record)


def _walk(directory: Path, depth: int) -> Iterator[Path]:
    """Yield what may be a checkpoint, in ``directory`` and below it; links to directories lead elsewhere."""
    try:
        there = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in there:
        path = Path(entry.path)
        if path.suffix == entries.INDEX and not entry.is_dir(follow_symlinks=False):
            path = path.with_suffix("")  # a group's
        if entry.name.startswith(".") or is_aside(path.name):
            continue
        if not entry.is_dir(follow_symlinks=False):
            if Path(entry.path).is_file() and (
                path.suffix in _ENDINGS or entry.name.endswith(entries.INDEX)
            ):  # no pipe
                yield path
        elif holds_checkpoint(path):
            yield path
        elif depth < _DEEPEST:
            yield from _walk(path, depth + 1)
