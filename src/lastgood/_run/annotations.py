"""What the events of a journal add up to."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Annotations:
    """What is pinned, what was measured late, what is shared; immutable, so that threads may share it.

    Attributes:
        pinned: The pinned checkpoints' paths in the run.
        late: Metrics that came after their save, by the checkpoint's path and the time of its making.
        shared: By the path of a checkpoint that shares, the time of its making and the bytes.
    """

    pinned: frozenset[str] = frozenset()
    late: Mapping[tuple[str, float], Mapping[str, float]] = field(default_factory=dict)
    shared: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def plus(self, events: Iterable[Mapping[str, Any]]) -> "Annotations":
        """Return them with some events added; an event that lacks something is skipped."""
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
                        shared.pop(event["path"], None)  # that of the file that was replaced
                        count = event["costs"]["shared"]
                        if type(count) is int and count > 0:
                            shared[event["path"]] = (event["created"], count)
                    case "prune":
                        late.pop((event["path"], event["created"]), None)
                        shared.pop(event["path"], None)
        return Annotations(frozenset(pinned), late, shared)

    def shared_by(self, path: str, created: float) -> int:
        """Return how many bytes a checkpoint shares; 0 if that is not known of the one that was made then."""
        made, count = self.shared.get(path, (created, 0))
        return count if made == created else 0
