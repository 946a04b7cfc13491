"""Pins, late metrics and shared bytes, collected from the events of a journal."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Annotations:
    """Pins, late metrics and shared bytes of a run; immutable, so that threads can share it.

    Attributes:
        pinned: Paths of the pinned checkpoints, relative to the run.
        late: Metrics logged after the save, by the checkpoint's path and creation time.
        shared: Creation time and number of shared bytes, by the checkpoint's path.
    """

    pinned: frozenset[str] = frozenset()
    late: Mapping[tuple[str, float], Mapping[str, float]] = field(default_factory=dict)
    shared: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def plus(self, events: Iterable[Mapping[str, Any]]) -> "Annotations":
        """Return a copy with more events applied; events that lack a field are skipped."""
        pinned, late, shared = set(self.pinned), dict(self.late), dict(self.shared)
        for event in events:
            with contextlib.suppress(KeyError, TypeError, AttributeError):
                match event["event"]:
                    case "pin":
                        pinned.add(event["path"])
                    case "unpin":
                        pinned.discard(event["path"])
                    case "metrics":
                        key = (event["path"], event["created"])
                        late[key] = {**late.get(key, {}), **event["metrics"]}
                    case "save":
                        shared.pop(event["path"], None)  # of the file that this save replaced
                        count = event["costs"]["shared"]
                        if type(count) is int and count > 0:
                            shared[event["path"]] = (event["created"], count)
                    case "prune":
                        late.pop((event["path"], event["created"]), None)
                        shared.pop(event["path"], None)
        return Annotations(frozenset(pinned), late, shared)

    def shared_by(self, path: str, created: float) -> int:
        """Return how many bytes the checkpoint created at that time shares; 0 if unknown."""
        made, count = self.shared.get(path, (created, 0))
        return count if made == created else 0
