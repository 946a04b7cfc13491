"""JSON from files that anybody may have written: strict, each key once, and no more of it than memory should hold."""

import json
from typing import Any

RECORD = 1 << 20
"""Bytes of the longest record, of the longest line of a journal, and of the like."""

DIRECTORY = 2 << 20
"""Bytes of the longest record of a directory, which has a line for each of its files."""

LONGEST = 64 << 20
"""Bytes of the longest text of any kind."""

_DEEPEST = 500
# A list or an object takes up to 250 bytes of memory for two of text, a number 32, and a text 60 for three.
_MOST_PIECES = 500_000
_MOST_VALUES = 2_000_000


def read(text: str | bytes, longest: int = RECORD) -> Any:
    """Return what a text holds.

    Args:
        text: The text; bytes are UTF-8.
        longest: How long it may be.

    Raises:
        ValueError: It is no strict JSON, has a key twice, or is longer, deeper, or of more values than it may be.
    """
    content = text.encode() if isinstance(text, str) else text
    check_extent(content, longest)
    try:
        value = json.loads(
            str(content, "utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check_depth(value)
    return value


def check_extent(content: bytes, longest: int = RECORD) -> None:
    """Check, before it is parsed, how much memory a text can take.

    Raises:
        ValueError: It is longer than ``longest`` bytes, or holds too many values.
    """
    if len(content) > longest:
        raise ValueError(f"it is longer than {longest} bytes")
    if sum(map(content.count, (b"[", b"{", b'"'))) > _MOST_PIECES or content.count(b",") > _MOST_VALUES:
        raise ValueError("it holds too many values")


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it has a key twice")  # of which one reader takes the first, and another the last
    return values


def _check_depth(value: Any) -> None:
    """Raise where those that walk through ``value`` by calling themselves would come to the end of the stack."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(_DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise ValueError("it is nested too deep")


def _children(value: list[Any] | dict[str, Any]) -> list[Any]:
    return [each for each in (value.values() if isinstance(value, dict) else value) if isinstance(each, list | dict)]
