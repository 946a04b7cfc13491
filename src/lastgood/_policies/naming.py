"""Which path a save goes to, and which paths a template can have made."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import PurePath
from string import Formatter
from typing import Any

import numpy as np

from .._errors import ArgumentError, PlaceholderError
from .monitor import as_scalar

_INTEGER_SPEC = re.compile(r"(?:.?[<>=^])?[ +-]?\d*d?")


class Template:
    """A checkpoint path with placeholders, such as ``"runs/{epoch:02d}-{val_loss:.2f}.keras"``.

    Attributes:
        text: The path as the user gave it.
        fields: The names of its placeholders, each once, in order.
        suffix: The literal ending from the last dot on, such as ``".keras"``; empty if there is none.
    """

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            ArgumentError: It is empty, its braces do not match, or a placeholder has no name.
        """
        if not text:
            raise ArgumentError("filepath is empty. Pass the path to save to, such as 'runs/{epoch:02d}.keras'.")
        try:
            parts = [(literal, field, spec or "") for literal, field, spec, _ in Formatter().parse(text)]
        except ValueError as error:
            raise ArgumentError(
                f"filepath {text!r} is no valid template: {error}. Write a literal brace twice."
            ) from error
        names = [_name(field) for _, field, _ in parts if field is not None]
        if any(not name or name.isdigit() for name in names):
            raise ArgumentError(f"filepath {text!r} has a placeholder without a name. Write it as in '{{epoch:02d}}'.")
        self.text = text
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._parts = parts
        tail = parts[-1][0] if parts[-1][1] is None else ""
        self.suffix = (re.search(r"\.[A-Za-z][A-Za-z0-9_]*$", tail) or [""])[0]

    def path(self, *, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        """Fill the placeholders.

        Args:
            epoch: The epoch, counted from 1.
            batch: The batch, counted from 1; None for a save at the epoch's end. A ``batch`` in the logs wins.
            logs: Metric values by name.

        Raises:
            PlaceholderError: A placeholder names nothing that there is.
            ArgumentError: A value does not take the format that its placeholder asks for.
        """
        values = {name: value if (scalar := _number(value)) is None else scalar for name, value in logs.items()}
        if batch is not None:
            values = {"batch": batch, **values}
        values["epoch"] = epoch
        try:
            return self.text.format_map(values)
        except KeyError as error:
            raise PlaceholderError(
                f'Failed to format this callback filepath: "{self.text}". Reason: {error}. '
                f"Available: {', '.join(sorted(values))}."
            ) from error
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise ArgumentError(f'Failed to format this callback filepath: "{self.text}". Reason: {error}.') from error

    def components(self) -> tuple[str, list[re.Pattern[str]]]:
        """Return how to find this template's files: a directory, and a pattern for each path component below it.

        The last pattern is the file's; a template without placeholders has one, which matches its own name.
        """
        found = [_Component()]
        for piece, placeholder in self._pieces():
            first, *rest = [piece] if placeholder else piece.split("/")
            found[-1] = found[-1].plus(first, placeholder)
            found.extend(_Component().plus(name, False) for name in rest)
        fixed = list(takewhile(lambda component: component.fixed, found[:-1]))
        directory = "/".join(component.literal for component in fixed) or ("/" if fixed else ".")
        return directory, [re.compile(c.pattern) for c in found[len(fixed) :] if c.pattern]

    @property
    def below(self) -> str:
        """The template of the paths below the directory that :meth:`components` returns."""
        text = "".join(_escaped(literal) + _placeholder(field, spec) for literal, field, spec in self._parts)
        return text.removeprefix(_escaped(self._inside(""))).lstrip("/")

    def matches(self, path: str) -> bool:
        """Tell whether a path is one that this template can have made."""
        return self._pattern.fullmatch(path) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(piece if placeholder else re.escape(piece) for piece, placeholder in self._pieces()))

    def beside(self, prefix: str) -> str:
        """Return where a save goes that is none of those that are due: beside them, and never in one's place.

        Args:
            prefix: What it is, such as ``"interrupted"``.
        """
        text = "".join(literal + (_name(field) if field is not None else "") for literal, field, _ in self._parts)
        name = text.removeprefix(self._inside("")).lstrip("/").replace("/", "-")
        return str(PurePath(self.components()[0], f"{prefix}-{name}"))

    def _inside(self, name: str) -> str:
        """Return the path of ``name`` in the directory that :meth:`components` returns."""
        directory, _ = self.components()
        return f"{directory.removesuffix('/')}/{name}"

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        """Yield the literal texts, and for each placeholder the pattern of what it can have become."""
        for literal, field, spec in self._parts:
            if literal:
                yield literal, False
            if field is not None:
                whole = _name(field) in ("epoch", "batch", "step") and _INTEGER_SPEC.fullmatch(spec)
                yield (r"[ +]*\d+ *" if whole else r"[^/]+"), True


@dataclass(frozen=True)
class _Component:
    """One name between two slashes: its text, its pattern, and whether it holds no placeholder."""

    literal: str = ""
    pattern: str = ""
    fixed: bool = True

    def plus(self, piece: str, placeholder: bool) -> "_Component":
        pattern = piece if placeholder else re.escape(piece)
        return _Component(self.literal + piece, self.pattern + pattern, self.fixed and not placeholder)


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")


def _placeholder(field: str | None, spec: str) -> str:
    return "" if field is None else f"{{{field}:{spec}}}" if spec else f"{{{field}}}"


def _name(field: str) -> str:
    """Return the name that a placeholder looks up: what comes before any ``.attribute`` or ``[index]``."""
    return re.split(r"[.\[]", field, maxsplit=1)[0]


def _number(value: Any) -> Any:
    """Return the number in an array or tensor of size 1; None for what formats well as it is."""
    if isinstance(value, int | float | str | PurePath):
        return None
    scalar = as_scalar(value)
    return int(scalar) if scalar is not None and np.issubdtype(np.asarray(value).dtype, np.integer) else scalar
