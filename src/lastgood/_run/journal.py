"""What is known of a run beside its checkpoints: a line of strict JSON for each event, in ``.lastgood/journal.jsonl``.

Several processes append to it at once. Without it nothing is lost but pins, metrics that came after their save, and
what the report tells of the past; a line that is damaged is passed over.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._record import number_from_json, number_to_json, refuse_constant

DIRECTORY = ".lastgood"
_NAME = "journal.jsonl"
_LOCK = "journal.lock"
_PATIENCE = 10.0  # seconds


class Journal:
    """The events of one run's directory, in the order in which they were appended."""

    def __init__(self, directory: Path) -> None:
        """Take the run's directory; nothing is made before something is appended."""
        self._directory = directory / DIRECTORY

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
            os.write(descriptor, line)
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
        for line in content.splitlines():
            with contextlib.suppress(ValueError, RecursionError, TypeError, AttributeError):
                event = json.loads(line, parse_constant=refuse_constant)
                if event.get("metrics"):  # an AttributeError where the line is no object
                    event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
                yield event

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of this block, such as a pin while checkpoints are being pruned.

        Raises:
            TimeoutError: An OSError: another process has been in such a block for long; it may be stopped.
            OSError: The storage refused.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / _LOCK).open("a") as lock:
            _lock(lock.fileno())
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_UN)  # before it is closed, which may fail


def _lock(descriptor: int) -> None:
    """Lock an open file, unless the file system has no locks.

    Raises:
        TimeoutError: Another has held it for too long: nobody is to wait for a process that may never go on.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"another process has held {_LOCK!r} in it for {_PATIENCE:g} s"
                ) from None
            time.sleep(0.01)
        except OSError:
            return
        else:
            return


@dataclass
class Notes:
    """What the events of a journal add up to.

    Attributes:
        pinned: The pinned checkpoints' paths in the run.
        late: Metrics that came after their save, by the checkpoint's path and the time of its making.
    """

    pinned: set[str] = field(default_factory=set)
    late: dict[tuple[str, float], dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: Journal) -> "Notes":
        """Add up the events of ``journal``; one that lacks something is passed over."""
        notes = cls()
        for event in journal.events():
            with contextlib.suppress(KeyError, TypeError, AttributeError):
                notes._add(event)
        return notes

    def _add(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "pin":
                self.pinned.add(event["path"])
            case "unpin":
                self.pinned.discard(event["path"])
            case "metrics":
                self.late.setdefault((event["path"], event["created"]), {}).update(event["metrics"])
