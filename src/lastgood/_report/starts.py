"""The starts of a run: when each began and how it ended, where it ran, and its settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import facts, seconds

_OPEN = ""
_NO_NOTICE = "ended without notice"
_AT = "ended by "  # followed by the name of a signal


@dataclass
class Start:
    """One process that trained, or one call of ``fit`` in it; several callbacks may have recorded it.

    Attributes:
        began: When, in seconds since 1970.
        host: The name of the machine; empty if unknown.
        resumed: The checkpoint that it resumed from, relative to the run's directory; empty for a fresh start.
        process: The process ID on that machine; 0 if unknown.
        last: The time of its last event, in seconds since 1970.
        ending: How it ended, in words; empty if no end is recorded.
        before: How many seconds all earlier starts had trained.
        environment: Versions, by name.
        code: The git commit and branch of its working directory, as far as known.
        settings: The arguments of each callback, by template.
        training: The epochs, the model's size and the optimizer, by name.
    """

    began: float
    host: str
    resumed: str
    process: int
    last: float
    ending: str = _OPEN
    before: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Start":
        """Return the start that an event describes; events of older versions have fewer fields."""
        at, process = seconds(event["at"]), event.get("process")
        start = cls(at, "", _resumed(event), process if isinstance(process, int) else 0, at)
        start.host = facts({"host": event.get("host")}).get("host", "")
        start.environment, start.code = facts(event.get("environment")), facts(event.get("code"))
        start.training = facts(event.get("training"))
        start.add(event)
        return start

    def add(self, event: Mapping[str, Any]) -> None:
        """Add the settings of a callback."""
        self.settings[str(event["template"])] = facts(event.get("settings"))

    def is_also_of(self, event: Mapping[str, Any]) -> bool:
        """Return True if the event comes from another callback of the same ``fit``."""
        same = (event.get("host") or "", event.get("process") or 0) == (self.host, self.process)
        return same and not self.ending and event["template"] not in self.settings

    @property
    def lasted(self) -> float:
        """How many seconds it trained, up to its last event."""
        return max(0.0, self.last - self.began)

    @property
    def is_open(self) -> bool:
        """Whether no end is recorded."""
        return self.ending == _OPEN

    @property
    def has_end(self) -> bool:
        """Whether the time of its end is known."""
        return self.ending not in (_OPEN, _NO_NOTICE)

    def asked(self) -> dict[str, str]:
        """Return the settings by name; with several callbacks, each name includes the template."""
        several = len(self.settings) > 1
        return {
            f"{name} ({template})" if several else name: value
            for template, settings in self.settings.items()
            for name, value in settings.items()
        }

    def all_facts(self) -> dict[str, str]:
        """Return all that is known of it except times."""
        where = {"host": self.host} if self.host else {}
        return {**self.asked(), **self.training, **where, **self.code, **self.environment}


class Starts:
    """The starts of a run, in the order of its journal."""

    def __init__(self) -> None:
        """Create an empty list of starts."""
        self.all: list[Start] = []
        self._current: dict[str, Start] = {}  # by run and template of the callback

    def begin(self, event: Mapping[str, Any]) -> bool:
        """Record that training begins; return True if its previous start ended without notice."""
        key = _key(event)
        before = self._current.get(key)
        killed = before is not None and before.is_open
        if before is not None and killed:
            before.ending = _NO_NOTICE
        latest = self.all[-1] if self.all else None
        if latest is not None and latest.is_also_of(event):
            latest.add(event)
        else:
            before_it = 0.0 if latest is None else latest.before + latest.lasted
            latest = Start.of(event)
            latest.before = before_it
            self.all.append(latest)
        self._current[key] = latest
        return killed

    def hear(self, event: Mapping[str, Any]) -> Start | None:
        """Record the time of an event; return the start that it belongs to, if known."""
        start = self._current.get(_key(event))
        if start is not None:
            start.last = max(start.last, seconds(event["at"]))
        return start

    def end(self, event: Mapping[str, Any], how: str) -> None:
        """Record that training ends."""
        start = self.hear(event)
        if start is not None and not start.ending.startswith(_AT):
            start.ending = how

    def end_at(self, event: Mapping[str, Any]) -> None:
        """Record that a signal ends training."""
        self.end(event, f"{_AT}{facts(event)['name']}")

    def changes(self) -> Iterator[tuple[Start, list[str]]]:
        """Yield each start with what has changed since the previous one, where both values are known."""
        before: dict[str, str] = {}
        for start in self.all:
            now = start.all_facts()
            changed = [name for name in now if name in before and before[name] != now[name]]
            yield start, [f"{name}: {before[name]} → {now[name]}" for name in changed]
            before = now


def _key(event: Mapping[str, Any]) -> str:
    return f"{event['run']} {event['template']}"


def _resumed(event: Mapping[str, Any]) -> str:
    """Return the checkpoint that training resumes from: as many last parts of its path as the template has."""
    parts = str(event.get("resumed") or "").replace("\\", "/").split("/")
    return "/".join(parts[-(str(event["template"]).count("/") + 1) :])
