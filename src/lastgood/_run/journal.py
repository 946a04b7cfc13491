"""The journal of a run: one line of strict JSON for each event.

Several processes can append to it at once. If you lose it, you lose only pins, metrics logged after their save, and
the history in the report. A damaged line is skipped.
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
_MOST = 32 * 1024 * 1024  # bytes per read


@dataclass(frozen=True)
class _Read:
    """How far a journal has been read, the bytes before that offset, and the annotations up to there."""

    offset: int = 0
    tail: bytes = b""
    annotations: Annotations = field(default_factory=Annotations)


class Journal:
    """The events of one run's directory, in the order in which they were appended."""

    def __init__(self, log: EventLog) -> None:
        """Keep the journal in ``log``."""
        self._log = log
        self._read = _Read()

    @property
    def exists(self) -> bool:
        """Whether the run has a place for its journal."""
        return self._log.exists

    def append(self, event: str, *, durable: bool = False, **values: Any) -> None:
        """Add an event.

        Args:
            event: What happened.
            durable: Whether to return only when the event is durable.
            **values: JSON values; the mapping ``metrics`` may also contain NaN and infinity.

        Raises:
            OSError: The storage failed.
        """
        if "metrics" in values:
            values["metrics"] = {name: number_to_json(value) for name, value in values["metrics"].items()}
        line = json.dumps({"event": event, **values}, allow_nan=False).encode()
        self._log.append(line, durable=durable)

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the readable events."""
        offset = 0
        while content := self._log.read(offset, b"", _MOST)[0]:
            whole = _whole_lines(content) or content
            yield from _parsed(whole)
            offset += len(whole)

    def annotations(self) -> Annotations:
        """Return the annotations. Only new events are read, because each save calls this."""
        read = self._read  # always replaced as a whole, so that threads need no lock
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
    """Return the content without an unfinished last line; a read of ``_MOST`` bytes is returned as it is."""
    return content if len(content) == _MOST else content[: content.rfind(b"\n") + 1]


def _parsed(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the events in the readable lines; skip lines longer than lastgood writes."""
    for line in content.splitlines():
        if len(line) > _json.RECORD:
            continue
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
            event = _json.read(line)
            if event.get("metrics"):  # AttributeError if the line is not an object
                event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
            yield event
