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

from .. import _strict_json
from .._errors import SaveError
from .._record import number_from_json, number_to_json
from .._storage.plain import check_no_link, open_plain

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
            os.write(descriptor, line)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events that can be read."""
        for line in self._lines():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
                event = _strict_json.read(line)
                if event.get("metrics"):  # an AttributeError where the line is no object
                    event["metrics"] = {name: number_from_json(v) for name, v in event["metrics"].items()}
                yield event

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines, but for those that are longer than any of ours."""
        if not self.exists:
            return
        with contextlib.suppress(OSError), os.fdopen(open_plain(self._directory / _NAME, follow=False), "rb") as file:
            begins = True
            while part := file.readline(_strict_json.RECORD):
                ends = part.endswith(b"\n") or len(part) < _strict_json.RECORD
                if begins and ends:
                    yield part
                begins = ends

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out of this block, such as a pin while checkpoints are being pruned.

        Raises:
            TimeoutError: An OSError: another process has been in such a block for long; it may be stopped.
            OSError: The storage refused.
        """
        with os.fdopen(open_in_place(self._directory / _LOCK, os.O_WRONLY | os.O_CREAT), "wb") as lock:
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
