"""A directory of checkpoints: the files that a template made."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ._formats import Format
from ._policies.naming import Template
from ._storage.local import TEMPORARY_PREFIX


def matching_paths(template: Template) -> Iterator[Path]:
    """Yield the paths on disk that ``template`` can have made."""
    directory, patterns = template.components()
    yield from _walk(Path(directory), patterns)


def matching_directories(template: Template) -> Iterator[Path]:
    """Yield the directories on disk that ``template`` saves into."""
    directory, patterns = template.components()
    yield from (path for path in _walk(Path(directory), patterns[:-1]) if path.is_dir())


def newest_checkpoint(template: Template, file_format: Format) -> Path | None:
    """Return the newest checkpoint of ``template``; None if there is none.

    Newest is the highest recorded step. Checkpoints without a record come before all that have one, in the order of
    their modification times; what is still tied goes by name, and the largest wins.
    """
    return max(matching_paths(template), key=lambda path: _age_key(path, file_format), default=None)


def _age_key(path: Path, file_format: Format) -> tuple[int, int, str]:
    record = file_format.read_record(path)
    step = record.step if record else -1
    return step, path.stat().st_mtime_ns, os.fspath(path)


def _walk(directory: Path, patterns: list[re.Pattern[str]]) -> Iterator[Path]:
    if not patterns:
        yield directory
        return
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if patterns[0].fullmatch(path.name) and not path.name.startswith(TEMPORARY_PREFIX):
            yield from _walk(path, patterns[1:])
