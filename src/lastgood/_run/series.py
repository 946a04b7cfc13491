"""The checkpoints of one template, and their order by age."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from .._formats import Format
from .._moment import Moment
from .._policies.naming import Shape, Template, fitting
from .._storage import Location, Seen, Storage, groups, working_directory
from .._storage.base import TEMPORARY_PREFIX, Entry
from .._threads import each_of

_CORRUPT = ".corrupt"

_Age = tuple[Location, int | None, int]
"""A checkpoint, its recorded step if it has a record, and its modification time in nanoseconds since 1970."""


@dataclass(frozen=True)
class Series:
    """A template and the location of its checkpoints.

    Attributes:
        template: The template.
        format: The format of its checkpoints.
        storage: The storage.
        base: The directory that a relative template starts from; None for the current one at each call.
    """

    template: Template
    format: Format
    storage: Storage
    base: Path | None = None

    def from_here(self) -> "Series":
        """Return the series for the current working directory, which a program may change."""
        here = working_directory()
        return self if here is None or here == self.base else replace(self, base=here)

    @property
    def directory(self) -> Location:
        """The directory below which all checkpoints lie."""
        return self.at(self.template.components()[0])

    def at(self, text: str) -> Location:
        """Return the location of a path of the template."""
        return Location(self.storage.parse(text), self.storage).below(self.base)

    def path(self, moment: Moment) -> str:
        """Return the path of a save at a moment, as the user wrote it. See :meth:`Template.path`."""
        return self.template.path(epoch=moment.epoch, batch=moment.batch, logs=moment.logs)

    def beside(self, prefix: str) -> Location:
        """Return the location of a save that is not due by the schedule. See :meth:`Template.beside`."""
        return self.at(self.template.beside(prefix))

    def existing(self) -> Iterator[Seen]:
        """Yield the existing checkpoints that match the template."""
        yield from _walk(self.directory, self.template.components()[1])

    def directories(self) -> Iterator[Location]:
        """Yield the existing directories that the template saves to."""
        directory, shapes = self.directory, self.template.components()[1]
        if len(shapes) > 1:
            found = (each.at for each in _walk(directory, shapes[:-1]))
            yield from (each for each in found if each.kind == "directory" and not each.is_link())
        elif directory.kind == "directory":
            yield directory

    def names(self, name: str) -> bool:
        """Return True if a name in one of :meth:`directories` matches the template."""
        return self.template.components()[1][-1].fullmatch(name)

    def newest(self) -> Location | None:
        """Return the newest checkpoint; None if there is none.

        The highest recorded step wins, then the latest modification time, then the largest name. Checkpoints without a
        record are older than all that have one.
        """
        found = {at: (-1 if step is None else step, written) for at, step, written in self._ages()}
        return max(found, key=lambda at: (*found[at], str(at)), default=None)

    def _ages(self, *others: Seen) -> Iterator["_Age"]:
        """Yield the age of each existing checkpoint that matches the template, and of others in its format."""
        found = each_of(self._age, [*self.existing(), *others], self.storage.reads_at_once)
        yield from (each for each in found if each is not None)

    def _age(self, seen: Seen) -> "_Age | None":
        try:
            written = seen.info().modified_ns
        except OSError:  # it was pruned after it was listed
            return None
        record = self.format.read_record(seen.at)
        return seen.at, record.step if record else None, written

    def ages(self) -> Iterator["_Age"]:
        """Yield the age of each checkpoint, including those saved beside them when no save was due."""
        beside = (self.beside(prefix) for prefix in ("interrupted", "last"))
        yield from self._ages(*(Seen(at) for at in beside if at.kind is not None))


def by_age(series: Iterable[Series], copies: Iterable[Series] = ()) -> list[tuple[Location, Format]]:
    """Return the checkpoints of several series and their copies, with their formats, newest first.

    A copy comes after its original.

    The recorded step decides which checkpoint is newer. One without a readable record comes first if it was written
    after all that have one, and last otherwise.
    """
    found: dict[Location, tuple[int | None, int, Format]] = {}
    for each in copies:
        found.update({at: (step, 0, each.format) for at, step, _ in each.ages()})
    for each in series:
        found.update({at: (step, written, each.format) for at, step, written in each.ages()})
    known = {at: (step, written) for at, (step, written, _) in found.items() if step is not None}
    newest = max((written for _, written in known.values()), default=0)
    unknown = {at: written for at, (step, written, _) in found.items() if step is None}
    late = [at for at, written in unknown.items() if written > newest]
    early = [at for at, written in unknown.items() if written <= newest]
    order = [*_latest_first(late, unknown), *_latest_first(known, known), *_latest_first(early, unknown)]
    return [(at, found[at][2]) for at in order]


def _latest_first(locations: Iterable[Location], ages: Mapping[Location, Any]) -> Sequence[Location]:
    return sorted(locations, key=lambda at: ages[at], reverse=True)


def _walk(directory: Location, shapes: Sequence[Shape]) -> Iterator[Seen]:
    """Yield the paths whose parts match ``shapes``, one per level; links to directories are not followed."""
    try:
        entries = directory.entries()
    except OSError:
        return
    named = {name: entry for entry in entries if (name := checkpoint_name(entry)) is not None}
    for name in sorted(named):
        if not shapes[0].fullmatch(name) or name.startswith(TEMPORARY_PREFIX) or is_aside(name):
            continue
        entry = named[name]
        if len(shapes) == 1 and entry.kind is not None:
            yield seen_in(directory, entry)
        elif len(shapes) > 1 and not entry.is_link:
            yield from _walk(directory / name, shapes[1:])


def seen_in(directory: Location, entry: Entry) -> Seen:
    """Return the checkpoint that a directory entry stands for, with the information from the listing."""
    name = checkpoint_name(entry) or entry.name
    return Seen(directory / name, entry.info if name == entry.name else None)


def checkpoint_name(entry: Entry) -> str | None:
    """Return the name of the checkpoint that an entry stands for; None for a group's other files."""
    if entry.name.endswith(groups.INDEX) and entry.name != groups.INDEX and entry.kind == "file":
        return entry.name.removesuffix(groups.INDEX)
    return None if groups.belongs_to_group(entry.name) else entry.name


def set_aside(at: Location) -> Location:
    """Rename a damaged checkpoint, so that it is no longer taken for a checkpoint; return its new location."""
    aside, number = at.with_name(fitting(at.name, _CORRUPT)), 1
    while aside.kind is not None or aside.is_link():
        aside, number = at.with_name(fitting(at.name, f"{_CORRUPT}-{number}")), number + 1
    at.storage.rename(at.path, aside.path)
    return aside


def is_aside(name: str) -> bool:
    """Return True if a name is that of a renamed damaged checkpoint."""
    return _CORRUPT in name and PurePosixPath(name).suffix.partition("-")[0] == _CORRUPT
