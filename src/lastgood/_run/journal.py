"""What is known of a run beside its checkpoints: a line of strict JSON for each event, in ``.lastgood/journal.jsonl``.

Several processes append to it at once. Without it nothing is lost but pins, metrics that came after their save, and
what the report tells of the past; a line that is damaged is passed over.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import _strict_json
from .._errors import SaveError
from .._record import number_from_json, number_to_json
from .._storage import locks
from .._storage.plain import check_no_link, open_plain
from .notes import Notes

DIRECTORY = ".lastgood"
_NAME = "journal.jsonl"
_LOCK = "journal.lock"
_TAIL = 256
_MOST = 32 * 1024 * 1024  # bytes that are read at once


@dataclass(frozen=True)
class _Read:
    """How far a journal has been read, what its bytes before that place were, and what its events add up to."""

    offset: int = 0
    tail: bytes = b""
    notes: Notes = field(default_factory=Notes)


class Journal:
    """The events of one run's directory, in the order in which they were appended."""

    def __init__(self, directory: Path) -> None:
        """Take the run's directory; nothing is made before something is appended."""
        self._directory = directory / DIRECTORY
        self._read = _Read()

    @property
    def exists(self) -> bool:
        """Whether there is a place for it."""
        return self._directory.is_dir() and not self._directory.is_symlink()

    def append(self, event: str, *, durable: bool = False, **values: Any) -> None:
        """Add an event.

        Args:
            event: What happened.
            durable: Whether to return only when it would survive a power cut.
            **values: Plain values; a mapping ``metrics`` may hold numbers that JSON has no word for.

        Raises:
            OSError: The storage refused.
        """
        if "metrics" in values:
            values["metrics"] = {name: number_to_json(value) for name, value in values["metrics"].items()}
        line = json.dumps({"event": event, **values}, allow_nan=False).encode() + b"\n"
        descriptor = open_in_place(self._directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # somebody died in the middle of a line
                line = b"\n" + line
            while line:  # a disk that is full takes a part, and refuses the rest
                line = line[os.write(descriptor, line) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events that can be read."""
        offset = 0
        while content := self._content(offset, b"")[0]:
            whole = _whole_lines(content) or content
            yield from _parsed(whole)
            offset += len(whole)

    def notes(self) -> Notes:
        """Return what the events add up to. What was read before is not read again: each save asks."""
        read = self._read  # one object, put in place of another, so that threads need not wait for each other
        content, goes_on = self._content(read.offset, read.tail)
        if not goes_on:
            read = _Read()
        whole = _whole_lines(content)
        if whole:
            read = _Read(read.offset + len(whole), whole[-_TAIL:], read.notes.plus(_parsed(whole)))
        self._read = read
        return read.notes

    def _content(self, offset: int, tail: bytes) -> tuple[bytes, bool]:
        """Return what there is behind ``offset``, if ``tail`` is what comes before; else all, and that it is not so."""
        try:
            with os.fdopen(open_plain(self._directory / _NAME, follow=False), "rb") as file:
                if not self.exists:
                    return b"", False
                file.seek(offset - len(tail))
                if file.read(len(tail)) == tail:
                    return file.read(_MOST), True
                file.seek(0)  # it is another file by now
                return file.read(_MOST), False
        except OSError:
            return b"", False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of this block, such as a pin while checkpoints are being pruned.

        Raises:
            RunInUseError: An OSError: another process does not come to an end of its own block.
            OSError: The storage refused.
        """
        path = self._directory / _LOCK
        with locks.held(open_in_place(path, os.O_RDWR | os.O_CREAT), path):
            yield


def open_in_place(path: Path, flags: int) -> int:
    """Return a descriptor of a file in a run's ``.lastgood``, which is made if it is not there; no link is followed.

    Raises:
        SaveError: A link, a pipe or the like stands in its place or in that of ``.lastgood``, or the storage refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_no_link(path.parent)
        return open_plain(path, flags, follow=False)
    except OSError as error:
        raise SaveError.during("write to", path, error) from error


def _whole_lines(content: bytes) -> bytes:
    """Return what is no part of a line that somebody is in the middle of, or of one that is longer than may be read."""
    return content if len(content) == _MOST else content[: content.rfind(b"\n") + 1]


def _parsed(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the events in the lines that can be read; none is longer than ours are."""
    for line in content.splitlines():
        if len(line) > _strict_json.RECORD:
            continue
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
            event = _strict_json.read(line)
            if event.get("metrics"):  # an AttributeError where the line is no object
                event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
            yield event
