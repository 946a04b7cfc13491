"""Output of the commands: tables for people, or JSON for programs."""

import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._storage import locate

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def write_json(value: Any) -> None:
    """Print ``value`` as strict JSON, with NaN and infinity as null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def write_done(what: str, *paths: str, as_json: bool) -> None:
    """Print what was done to which paths, with the sizes of written files.

    Args:
        what: What was done, such as ``"wrote"``.
        *paths: The paths.
        as_json: Whether to print JSON.
    """
    if as_json:
        write_json({what: [{"path": path, "size": locate(path).size()} for path in paths]})
        return
    for path in paths:
        print(f"{what} {plain(path)}{f': {size(locate(path).size())}' if what == 'wrote' else ''}")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table. Outside a terminal it is as wide as it needs to be.

    Args:
        columns: The headings. A heading that starts with ``>`` aligns its column to the right, for numbers.
        rows: The cells.
        title: The title above the table.
    """
    console().print(table(columns, rows, title))


def console() -> Console:
    """Return the console to print to."""
    width = None if sys.stdout.isatty() else 10_000
    return Console(width=width, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> Table:
    """Return a table. See :func:`write_table`."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        heading = Text(plain(column.lstrip(">")))
        made.add_column(heading, justify="right" if column.startswith(">") else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def plain(text: Any) -> str:
    """Return text from a file with unprintable characters escaped, so that they cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def size(count: int) -> str:
    """Return a readable number of bytes."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} B"


def age(created: float) -> str:
    """Return a readable time since ``created``."""
    seconds = max(0.0, time.time() - created)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def number(value: float | None) -> str:
    """Return a readable number; an empty string for None."""
    return "" if value is None else f"{value:.4g}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
