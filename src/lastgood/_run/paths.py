"""The files that a template made, and which of them is newer."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .._formats import Format
from .._policies.naming import Shape, Template
from .._storage import entries
from .._storage.local import TEMPORARY_PREFIX

_CORRUPT = ".corrupt"


def matching_paths(template: Template) -> Iterator[Path]:
    """Yield the paths on disk that ``template`` can have made."""
    directory, shapes = template.components()
    yield from _walk(Path(directory), shapes)


def matching_directories(template: Template) -> Iterator[Path]:
    """Yield the directories on disk that ``template`` saves into."""
    directory, shapes = template.components()
    if len(shapes) > 1:
        yield from (path for path in _walk(Path(directory), shapes[:-1]) if path.is_dir() and not path.is_symlink())
    elif Path(directory).is_dir():
        yield Path(directory)


def by_age(templates: Iterable[tuple[Template, Format]]) -> list[tuple[Path, Format]]:
    """Return the checkpoints that the templates can have made, the newest first.

    The step of their records says which is newer. One that has no record that can be read is first if it was written
    after all that have one, and last if not.
    """
    found: dict[Path, tuple[int | None, int, Format]] = {}
    for template, file_format in templates:
        beside = [Path(template.beside(prefix)) for prefix in ("interrupted", "last")]
        for path in [*matching_paths(template), *filter(entries.is_checkpoint_like, beside)]:
            record = file_format.read_record(path)
            found[path] = (record.step if record else None, entries.stat(path).st_mtime_ns, file_format)
    known = {path: (step, written) for path, (step, written, _) in found.items() if step is not None}
    newest = max((written for _, written in known.values()), default=0)
    unknown = {path: written for path, (step, written, _) in found.items() if step is None}
    late = sorted((p for p, written in unknown.items() if written > newest), key=lambda p: unknown[p], reverse=True)
    early = sorted((p for p, written in unknown.items() if written <= newest), key=lambda p: unknown[p], reverse=True)
    order = [*late, *sorted(known, key=lambda path: known[path], reverse=True), *early]
    return [(path, found[path][2]) for path in order]


def newest_checkpoint(template: Template, file_format: Format) -> Path | None:
    """Return the newest checkpoint of ``template``; None if there is none.

    Newest is the highest recorded step. Checkpoints without a record come before all that have one, in the order of
    their modification times; what is still tied goes by name, and the largest wins.
    """
    return max(matching_paths(template), key=lambda path: _age_key(path, file_format), default=None)


def _age_key(path: Path, file_format: Format) -> tuple[int, int, str]:
    record = file_format.read_record(path)
    step = record.step if record else -1
    return step, entries.stat(path).st_mtime_ns, os.fspath(path)


def _walk(directory: Path, shapes: list[Shape]) -> Iterator[Path]:
    """Yield what has the shapes, one below another; links to directories lead elsewhere, and are not followed."""
    if not directory.is_dir():
        return
    for name in sorted(_checkpoint_names(directory)):
        if not shapes[0].fullmatch(name) or name.startswith(TEMPORARY_PREFIX) or is_aside(name):
            continue
        path = directory / name
        if len(shapes) == 1 and entries.is_checkpoint_like(path):
            yield path
        elif len(shapes) > 1 and not path.is_symlink():
            yield from _walk(path, shapes[1:])


def _checkpoint_names(directory: Path) -> Iterator[str]:
    """Yield the names of the files and directories in a directory; of a group of files, that of its path."""
    for name in os.listdir(directory):  # noqa: PTH208 - there may be ten thousand, and each save looks
        if name.endswith(entries.INDEX) and name != entries.INDEX:
            yield name.removesuffix(entries.INDEX)
        elif not entries.belongs_to_group(name):
            yield name


def name_below(directory: Path, path: Path) -> str:
    """Return the name in ``directory`` of a path that begins with it."""
    return os.fspath(path).removeprefix(os.path.join(directory, ""))  # noqa: PTH118 - "/" stays what it is


def set_aside(path: Path) -> Path:
    """Rename a checkpoint that is damaged, so that nothing takes it for one; return its new path."""
    aside, number = path.with_name(path.name + _CORRUPT), 1
    while entries.exists(aside):
        aside, number = path.with_name(f"{path.name}{_CORRUPT}-{number}"), number + 1
    entries.rename(path, aside)
    return aside


def is_aside(name: str) -> bool:
    """Tell whether a name is one that a damaged checkpoint was renamed to."""
    return _CORRUPT in name and Path(name).suffix.partition("-")[0] == _CORRUPT
