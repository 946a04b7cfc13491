"""What is known of one checkpoint: its record, as strict JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = 1

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
    """

    step: int
    epoch: int
    batch: int | None
    metrics: Mapping[str, float]
    format: str
    created: float
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as one line of strict JSON, with its version, and zeros where the file's digest goes."""
        values = asdict(self) | {"metrics": {name: _to_json_number(v) for name, v in self.metrics.items()}}
        return json.dumps({"lastgood": VERSION, "crc32": "0" * 8, **values}, allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Record | None":
        """Return the record that ``text`` holds, or None where it is damaged or of a version not known here."""
        try:
            values = json.loads(text, parse_constant=_refuse)
            if values.pop("lastgood") != VERSION:
                return None
            int(values.pop("crc32"), 16)
            values["metrics"] = {name: _from_json_number(v) for name, v in values["metrics"].items()}
            record = cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return record if isinstance(record.step, int) else None


def digest_of(text: str) -> str | None:
    """Return the file's digest, eight hexadecimal digits, that stands in a record's text; None if it is damaged."""
    try:
        digest = json.loads(text)["crc32"]
        int(digest, 16)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return str(digest) if len(digest) == 8 and Record.from_json(text) else None


def _to_json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _from_json_number(value: Any) -> float:
    return _NON_FINITE[value] if isinstance(value, str) else float(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
