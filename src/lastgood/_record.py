"""What is known of one checkpoint: its record, as strict JSON."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from . import _json

VERSION = 1
_END_OF_TIME = 253_402_300_800  # the year 10000: calendars know no more

# JSON has no word for these; strict readers refuse the ones that Python would write.
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Record:
    """One checkpoint's place in its run.

    Attributes:
        step: The optimizer's step at the save; orders the checkpoints of a run.
        epoch: The epoch, counted from 1 as in file names.
        batch: Batches done in that epoch, counted from 1; ``None`` for a save at the epoch's end.
        metrics: The logs' scalars at the save, by name.
        format: The format's name, such as ``"keras"``.
        created: Seconds since 1970 in UTC.
        versions: Package name to version, of what wrote the file.
        run: Which run it is of: a fresh start makes a new one, a restart goes on with it; empty if that is not known.
        template: The template that named it, below the run's directory; empty if that is not known.
    """

    step: int
    epoch: int
    batch: int | None
    metrics: Mapping[str, float]
    format: str
    created: float
    versions: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    template: str = ""

    def to_text(
        self, table: tuple[int, int] | None = None, files: Mapping[str, tuple[int, int]] | None = None
    ) -> "RecordText":
        """Return the record as one line of strict JSON, with its version, and zeros where the file's digest goes.

        One that would be longer than readers take leaves its metrics out.

        Args:
            table: Place of the file's table of digests, (offset, length), if it has one.
            files: Length and digest of each file of a directory, by its path in it; None for what is no directory.

        Raises:
            ValueError: It is too long without them, too: of a directory of many thousands of files.
        """
        values = asdict(self) | {"metrics": {name: number_to_json(v) for name, v in self.metrics.items()}}
        own = {"lastgood": VERSION, "crc32": RecordText.NO_DIGEST, "table": table}
        own |= {} if files is None else {"files": files}
        text = json.dumps({**own, **values}, allow_nan=False, sort_keys=True)
        longest = _json.RECORD if files is None else _json.DIRECTORY
        if len(text) > longest and self.metrics:
            return replace(self, metrics={}).to_text(table, files)
        if len(text) > longest:  # better no checkpoint, and told so, than one that no reader takes
            raise ValueError(f"its record, of {len(files or ())} files, would be longer than {longest} bytes")
        return RecordText(text, longest)

    @classmethod
    def from_text(cls, text: "RecordText") -> "Record | None":
        """Return the record that ``text`` holds, or None where it is damaged or of a version not known here.

        Whatever a file says, each of the attributes is of its type, and no number is one that a calendar or an integer
        of 8 bytes has no place for.
        """
        values = dict(text.values)
        try:
            if values.pop("lastgood") != VERSION:
                return None
            for name in ("crc32", "table"):
                values.pop(name)
            values.pop("files", None)
            values["metrics"] = {name: number_from_json(v) for name, v in values["metrics"].items()}
            record = cls(**values)
            return record if record._is_sound() else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None

    def _is_sound(self) -> bool:
        """Tell whether each attribute is of its type."""
        counts = (self.step, self.epoch, 0 if self.batch is None else self.batch)
        texts = (self.format, self.run, self.template, *self.versions.keys(), *self.versions.values())
        return (
            all(type(count) is int and abs(count) < 1 << 63 for count in counts)
            and all(isinstance(text, str) for text in texts)
            and type(self.created) in (int, float)
            and 0 <= self.created < _END_OF_TIME
        )


class RecordText:
    """A record as it stands in a file, with what it says of the file itself; it may be damaged.

    Attributes:
        text: The text.
        values: What it holds; nothing if it is no JSON object.
    """

    NO_DIGEST: ClassVar[str] = "0" * 8
    _KEY: ClassVar[str] = '"crc32": "'

    def __init__(self, text: str, longest: int = _json.RECORD) -> None:
        """Parse ``text``, as far as it can be; of one of more than ``longest`` bytes, nothing."""
        self.text = text
        try:
            values = _json.read(text, longest)
        except ValueError:
            values = None
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}

    @property
    def digest(self) -> str | None:
        """The digest of the file, eight hexadecimal digits; None if that is damaged."""
        digest = self.values.get("crc32")
        whole = isinstance(digest, str) and re.fullmatch("[0-9a-f]{8}", digest) and self.digest_at > 0
        return digest if whole else None

    @property
    def digest_at(self) -> int:
        """Where in the text, counted in bytes, the digest is."""
        before, key, _ = self.text.partition(self._KEY)
        return len((before + key).encode()) if key else 0

    @property
    def table(self) -> tuple[int, int] | None:
        """Place of the table of digests, (offset, length); None if there is none, or it is damaged."""
        table: Any = self.values.get("table")
        return (table[0], table[1]) if _is_pair(table) else None

    @property
    def files(self) -> dict[str, tuple[int, int]] | None:
        """Length and digest of each file of a directory, by its path in it; None if there are none, or damaged ones."""
        files = self.values.get("files")
        if not isinstance(files, dict) or not all(map(_is_pair, files.values())):
            return None
        return {name: (length, digest) for name, (length, digest) in files.items()}


def _is_pair(value: Any) -> bool:
    """Tell whether ``value`` is a list of two integers."""
    return isinstance(value, list) and [type(number) for number in value] == [int, int]


def number_to_json(value: float) -> float | str:
    """Return a number as strict JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from_json(value: Any) -> float:
    """Return the number that :func:`number_to_json` returned as ``value``."""
    return _NON_FINITE[value] if isinstance(value, str) else float(value)
