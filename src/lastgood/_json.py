"""JSON from untrusted files: strict, without repeated keys, and within limits of memory."""

import json
from typing import Any

RECORD = 1 << 20
"""The maximum size in bytes of a record, a line of a journal, and the like."""

DIRECTORY = 16 << 20
"""The maximum size in bytes of a directory's record, which lists each of its files."""

LONGEST = 64 << 20
"""The maximum size in bytes of any text."""

_DEEPEST = 500
# Two bytes of text can take 250 bytes of memory as a list or an object, or 32 as a number; three take 60 as a string.
_MOST_PIECES = 500_000
_MOST_VALUES = 2_000_000


def read(text: str | bytes, longest: int = RECORD) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The text; bytes are UTF-8.
        longest: The maximum size in bytes.

    Raises:
        ValueError: It is not strict JSON, has a key twice, is too long or too deep, or has too many values.
    """
    content = text.encode() if isinstance(text, str) else text
    check_extent(content, longest)
    try:
        value = json.loads(
            str(content, "utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value)
    return value


def is_readable(text: str, longest: int) -> bool:
    """Return whether :func:`read` accepts the extent of a text that lastgood is about to write."""
    try:
        check_extent(text.encode(), longest)
    except ValueError:
        return False
    return True


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
        raise ValueError("it has a key twice")  # one reader would take the first, another the last
    return values


def _check_depth(value: Any) -> None:
    """Raise ValueError if recursive functions would overflow the stack on ``value``."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(_DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _children(value: list[Any] | dict[str, Any]) -> list[Any]:
    return [each for each in (value.values() if isinstance(value, dict) else value) if isinstance(each, list | dict)]
