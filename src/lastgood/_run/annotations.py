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
        shared: Bytes that an earlier checkpoint had already, of those of which there are some, by the same.
    """

    pinned: frozenset[str] = frozenset()
    late: Mapping[tuple[str, float], Mapping[str, float]] = field(default_factory=dict)
    shared: Mapping[tuple[str, float], int] = field(default_factory=dict)

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
                        count = event["costs"]["shared"]
                        if type(count) is int and count > 0:
                            shared[event["path"], event["created"]] = count
                    case "prune":
                        for known in (late, shared):
                            known.pop((event["path"], event["created"]), None)
        return Annotations(frozenset(pinned), late, shared)
