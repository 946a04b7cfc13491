"""The record of a checkpoint, as strict JSON."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from . import _json

VERSION = 1
_END_OF_TIME = 253_402_300_800  # the year 10000, at which ``datetime`` ends

# JSON has no words for these; strict readers refuse those that Python would write.
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Record:
    """The record of one checkpoint.

    Attributes:
        step: The optimizer's step at the save; orders the checkpoints of a run.
        epoch: The epoch, counted from 1 as in file names.
        batch: Batches done in that epoch, counted from 1; ``None`` for a save at the epoch's end.
        metrics: The logs' scalars at the save, by name.
        format: The format's name, such as ``"keras"``.
        created: Seconds since 1970 in UTC.
        versions: The versions of the packages that wrote the file, by name.
        run: The id of its run: a fresh start creates a new one, a restart keeps it; empty if it is not known.
        template: The template that named it, relative to the run's directory; empty if it is not known.
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

        A line that would be longer than readers accept leaves out the metrics.

        Args:
            table: Place of the file's table of digests, (offset, length), if it has one.
            files: Length and digest of each file of a directory, by its path in it; None if it is not a directory.

        Raises:
            ValueError: It is too long even without metrics: the directory has many thousands of files.
        """
        values = asdict(self) | {"metrics": {name: number_to_json(v) for name, v in self.metrics.items()}}
        own = {"lastgood": VERSION, "crc32": RecordText.NO_DIGEST, "table": table}
        own |= {} if files is None else {"files": files}
        text = json.dumps({**own, **values}, allow_nan=False, sort_keys=True)
        longest = _json.RECORD if files is None else _json.DIRECTORY
        fits = _json.is_readable(text, longest)
        if not fits and self.metrics:
            return replace(self, metrics={}).to_text(table, files)
        if not fits:  # better an error than a checkpoint that no reader accepts
            raise ValueError(f"its record, of {len(files or ())} files, would be too long for its readers")
        return RecordText(text, longest)

    @classmethod
    def from_text(cls, text: "RecordText") -> "Record | None":
        """Return the record in ``text``; None if it is damaged or of an unknown version.

        Whatever the file says, each attribute of the result has its type, counts fit into 8 bytes, and the time of
        creation is before the year 10000.
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
        """Return True if each attribute has its type, and is in its range."""
        counts = (self.step, self.epoch, 0 if self.batch is None else self.batch)
        texts = (self.format, self.run, self.template, *self.versions.keys(), *self.versions.values())
        return (
            all(type(count) is int and abs(count) < 1 << 63 for count in counts)
            and all(isinstance(text, str) for text in texts)
            and type(self.created) in (int, float)
            and 0 <= self.created < _END_OF_TIME
        )


class RecordText:
    """The text of a record in a file, with what it says about the file itself; it may be damaged.

    Attributes:
        text: The text.
        values: Its values; empty if it is not a JSON object.
    """

    NO_DIGEST: ClassVar[str] = "0" * 8
    _KEY: ClassVar[str] = '"crc32": "'

    def __init__(self, text: str, longest: int = _json.RECORD) -> None:
        """Parse ``text``; if it is invalid or has more than ``longest`` bytes, there are no values."""
        self.text = text
        try:
            values = _json.read(text, longest)
        except ValueError:
            values = None
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}

    @property
    def digest(self) -> str | None:
        """The digest of the file, eight hexadecimal digits; None if it is damaged."""
        digest = self.values.get("crc32")
        whole = isinstance(digest, str) and re.fullmatch("[0-9a-f]{8}", digest) and self.digest_at > 0
        return digest if whole else None

    @property
    def digest_at(self) -> int:
        """The offset of the digest in the text, in bytes; 0 if there is none."""
        before, key, _ = self.text.partition(self._KEY)
        return len((before + key).encode()) if key else 0

    @property
    def table(self) -> tuple[int, int] | None:
        """Place of the table of digests, (offset, length); None if there is none, or it is damaged."""
        table: Any = self.values.get("table")
        return (table[0], table[1]) if _is_pair(table) else None

    @property
    def files(self) -> dict[str, tuple[int, int]] | None:
        """Length and digest of each file of a directory, by its path; None if there are none, or they are damaged."""
        files = self.values.get("files")
        if not isinstance(files, dict) or not all(map(_is_pair, files.values())):
            return None
        return {name: (length, digest) for name, (length, digest) in files.items()}


def _is_pair(value: Any) -> bool:
    """Return True if ``value`` is a list of two integers."""
    return isinstance(value, list) and [type(number) for number in value] == [int, int]


def number_to_json(value: float) -> float | str:
    """Return a number in a form that strict JSON can hold."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from_json(value: Any) -> float:
    """Return the number for which :func:`number_to_json` returned ``value``."""
    return _NON_FINITE[value] if isinstance(value, str) else float(value)
