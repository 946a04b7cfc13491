"""What is known of a run beside its checkpoints: a line of strict JSON for each event.

Several processes append to it at once. Without it you lose nothing but pins, metrics that came after their save, and
what the report says about the past; a damaged line is skipped.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from .. import _json
from .._record import number_from_json, number_to_json
from .._storage.base import EventLog
from .annotations import Annotations

_TAIL = 256
_MOST = 32 * 1024 * 1024  # bytes that are read at once


@dataclass(frozen=True)
class _Read:
    """How far a journal has been read, what its bytes before that place were, and what its events add up to."""

    offset: int = 0
    tail: bytes = b""
    annotations: Annotations = field(default_factory=Annotations)


class Journal:
    """The events of one run's directory, in the order in which they were appended."""

    def __init__(self, log: EventLog) -> None:
        """Take the log that it is kept in."""
        self._log = log
        self._read = _Read()

    @property
    def exists(self) -> bool:
        """Whether there is a place for it."""
        return self._log.exists

    def append(self, event: str, *, durable: bool = False, **values: Any) -> None:
        """Add an event.

        Args:
            event: What happened.
            durable: Whether to return only when it would survive a power cut.
            **values: Plain values; a mapping ``metrics`` may hold numbers that JSON has no word for.

        Raises:
            OSError: The storage failed.
        """
        if "metrics" in values:
            values["metrics"] = {name: number_to_json(value) for name, value in values["metrics"].items()}
        line = json.dumps({"event": event, **values}, allow_nan=False).encode()
        self._log.append(line, durable=durable)

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events that can be read."""
        offset = 0
        while content := self._log.read(offset, b"", _MOST)[0]:
            whole = _whole_lines(content) or content
            yield from _parsed(whole)
            offset += len(whole)

    def annotations(self) -> Annotations:
        """Return what the events add up to. What was read before is not read again: each save asks."""
        read = self._read  # one object, put in place of another, so that threads need not wait for each other
        content, goes_on = self._log.read(read.offset, read.tail, _MOST)
        if not goes_on:
            read = _Read()
        whole = _whole_lines(content)
        if whole:
            read = _Read(read.offset + len(whole), whole[-_TAIL:], read.annotations.plus(_parsed(whole)))
        self._read = read
        return read.annotations

    def alone(self) -> AbstractContextManager[None]:
        """Keep others out of the block. See :meth:`EventLog.alone`."""
        return self._log.alone()


def _whole_lines(content: bytes) -> bytes:
    """Return what is no part of a line that somebody is in the middle of, or of one that is longer than may be read."""
    return content if len(content) == _MOST else content[: content.rfind(b"\n") + 1]


def _parsed(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the events in the lines that can be read; none is longer than ours are."""
    for line in content.splitlines():
        if len(line) > _json.RECORD:
            continue
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
            event = _json.read(line)
            if event.get("metrics"):  # an AttributeError where the line is no object
                event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
            yield event
