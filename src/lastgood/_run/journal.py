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

from .._record import number_from_json, number_to_json, refuse_constant
from .._storage import locks
from .notes import Notes

DIRECTORY = ".lastgood"
_NAME = "journal.jsonl"
_LOCK = "journal.lock"
_TAIL = 256


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
        return self._directory.is_dir()

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
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
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
        try:
            content = (self._directory / _NAME).read_bytes()
        except OSError:
            return
        yield from _parsed(content)

    def notes(self) -> Notes:
        """Return what the events add up to. What was read before is not read again: each save asks."""
        read = self._read  # one object, put in place of another, so that threads need not wait for each other
        try:
            with (self._directory / _NAME).open("rb") as file:
                file.seek(read.offset - len(read.tail))
                if file.read(len(read.tail)) != read.tail:  # it is another file by now
                    read = _Read()
                    file.seek(0)
                content = file.read()
        except OSError:
            read, content = _Read(), b""
        whole = content[: content.rfind(b"\n") + 1]  # somebody may be in the middle of a line
        if whole:
            read = _Read(read.offset + len(whole), whole[-_TAIL:], read.notes.plus(_parsed(whole)))
        self._read = read
        return read.notes

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of this block, such as a pin while checkpoints are being pruned.

        Raises:
            RunInUseError: An OSError: another process does not come to an end of its own block.
            OSError: The storage refused.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with locks.alone(self._directory / _LOCK):
            yield


def _parsed(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the events in the lines that can be read."""
    for line in content.splitlines():
        with contextlib.suppress(ValueError, RecursionError, TypeError, AttributeError):
            event = json.loads(line, parse_constant=refuse_constant)
            if event.get("metrics"):  # an AttributeError where the line is no object
                event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
            yield event
