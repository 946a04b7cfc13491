"""The path that a save goes to, and the paths that a template can produce."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import PurePath
from string import Formatter
from typing import Any

import numpy as np

from .._errors import ArgumentError, PlaceholderError, did_you_mean
from .._moment import as_scalar

# Nearly all file systems allow names of 255 bytes; the files of a group add up to 20 to the name that they share.
_LONGEST_NAME = 255 - len(".data-00000-of-00000")
_LONGEST_ENDING = 32
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
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ArgumentError(
                f"filepath {text!r} is not a valid template: {error}. Write a literal brace twice."
            ) from error
        names = list(_looked_up(text))
        if any(not name or name.isdigit() for name in names):
            raise ArgumentError(f"filepath {text!r} has a placeholder without a name. Write it as in '{{epoch:02d}}'.")
        self.text = text
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._parts = [(literal, field, spec or "", conversion or "") for literal, field, spec, conversion in parts]
        tail = parts[-1][0] if parts[-1][1] is None else ""
        self.suffix = (re.search(r"\.[A-Za-z][A-Za-z0-9_]*$", tail) or [""])[0]

    def path(self, *, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        """Return the path with its placeholders filled in.

        Args:
            epoch: The epoch, counted from 1.
            batch: The batch, counted from 1; None for a save at the epoch's end. A ``batch`` in the logs wins.
            logs: Metric values by name.

        Raises:
            PlaceholderError: A placeholder names no known value.
            ArgumentError: A value does not fit the format of its placeholder, or leads to another directory.
        """
        values = {name: value if (scalar := _number(value)) is None else scalar for name, value in logs.items()}
        if batch is not None:
            values = {"batch": batch, **values}
        values["epoch"] = epoch
        try:
            pieces = [
                (literal, _placeholder(field, spec, conversion).format_map(values))
                for literal, field, spec, conversion in self._parts
            ]
        except KeyError as error:
            raise PlaceholderError(
                f'Failed to format this callback filepath: "{self.text}". Reason: {error}. '
                f"Available: {', '.join(sorted(values))}.{_remedy(str(error.args[0]), values)}"
            ) from error
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise ArgumentError(f'Failed to format this callback filepath: "{self.text}". Reason: {error}.') from error
        path = "".join(literal + filled for literal, filled in pieces)
        leads_away = any("/" in filled or "\0" in filled for _, filled in pieces)
        if leads_away or self._dots(path.split("/")) != self._dots(self.skeleton.split("/")):
            raise ArgumentError(
                f'Failed to format this callback filepath: "{self.text}". Reason: {path!r} leads elsewhere. '
                "Logged values must not contain '/', and must not be '.', '..' or empty where they are a whole name."
            )
        return path

    @property
    def skeleton(self) -> str:
        """The path with ``x`` in place of each placeholder."""
        return "".join(literal + ("x" if field is not None else "") for literal, field, _, _ in self._parts)

    @staticmethod
    def _dots(names: Iterable[str]) -> list[str]:
        """Return the components that are empty, ``.`` or ``..``."""
        return [name for name in names if name in ("", ".", "..")]

    def components(self) -> tuple[str, list["Shape"]]:
        """Return how to find this template's files: a directory, and the shape of each path component below it.

        The last shape is the file's; a template without placeholders has only this one, its own name.
        """
        found: list[list[_Piece]] = [[]]
        for piece in self._pieces():
            first, *rest = piece.split("/") if isinstance(piece, str) else [piece]
            found[-1].append(first)
            found.extend([name] for name in rest)
        shapes = [Shape(pieces) for pieces in found]
        fixed = [shape.literal or "" for shape in takewhile(lambda shape: shape.literal is not None, shapes[:-1])]
        return "/".join(fixed) or ("/" if fixed else "."), [s for s in shapes[len(fixed) :] if s.literal != ""]

    @property
    def below(self) -> str:
        """The part of the template below the directory that :meth:`components` returns."""
        text = "".join(
            literal(text) + _placeholder(field, spec, conversion) for text, field, spec, conversion in self._parts
        )
        return text.removeprefix(literal(self._inside(""))).lstrip("/")

    def matches(self, path: str) -> bool:
        """Return True if this template can produce a path."""
        return self._shape.fullmatch(path)

    @cached_property
    def _shape(self) -> "Shape":
        return Shape(list(self._pieces()))

    def beside(self, prefix: str) -> str:
        """Return the path of a save that is not due, which goes beside the others and never replaces one.

        Args:
            prefix: The kind of save, such as ``"interrupted"``.
        """
        text = "".join(literal + (_name(field) if field is not None else "") for literal, field, _, _ in self._parts)
        name = f"{prefix}-{text.removeprefix(self._inside('')).lstrip('/').replace('/', '-')}"
        ending = f".weights{self.suffix}" if name.endswith(f".weights{self.suffix}") else self.suffix
        if len(_bytes(ending)) > _LONGEST_ENDING:  # it is not a format's
            ending = ""
        return self._inside(fitting(name.removesuffix(ending), ending))

    def _inside(self, name: str) -> str:
        """Return the path of ``name`` in the directory that :meth:`components` returns."""
        directory, _ = self.components()
        return f"{directory.removesuffix('/')}/{name}"

    def _pieces(self) -> "Iterator[_Piece]":
        """Yield the literal texts, and for each placeholder a function that finds where its value can end."""
        for literal, field, spec, _ in self._parts:
            if literal:
                yield literal
            if field is not None:
                whole = _name(field) in ("epoch", "batch", "step") and _INTEGER_SPEC.fullmatch(spec)
                yield _after_number if whole else _after_anything


def fitting(name: str, ending: str = "") -> str:
    """Return a name with an ending, shortened if it is too long for a file system.

    A hash replaces what is cut off: equal names are shortened alike, and different names stay different.
    """
    whole = _bytes(name + ending)
    if len(whole) <= _LONGEST_NAME:
        return name + ending
    mark = f"~{hashlib.sha256(whole).hexdigest()[:16]}{ending}"
    begin = whole[: _LONGEST_NAME - len(_bytes(mark))]
    return begin.decode(errors="ignore") + mark  # drops the rest of a character that was cut in two


def _bytes(name: str) -> bytes:
    """Return a name as the bytes that a file system gets."""
    return name.encode(errors="surrogateescape")


class Shape:
    """The pattern of a name made of literal texts and filled placeholders.

    Templates may come from a file, and names may be arbitrary. So this is not a regular expression, which may take
    forever to match: it tracks, in one pass, all places at which a piece can end.

    Attributes:
        literal: The name, if it has no placeholder; None otherwise.
    """

    def __init__(self, pieces: "Sequence[_Piece]") -> None:
        """Take the pieces, in their order."""
        texts = [piece for piece in pieces if isinstance(piece, str)]
        self.literal = "".join(texts) if len(texts) == len(pieces) else None
        self._pieces = pieces

    def fullmatch(self, name: str) -> bool:
        """Return True if ``name`` has this shape."""
        ends = {0}
        for piece in self._pieces:
            if isinstance(piece, str):
                ends = {end + len(piece) for end in ends if name.startswith(piece, end)}
            else:
                ends = piece(name, ends)
            if not ends:
                return False
        return len(name) in ends


def _after_anything(name: str, starts: set[int]) -> set[int]:
    """Return where a placeholder for any text without a slash, but not for an empty one, can end."""
    ends, inside = set(), False
    for at, character in enumerate(name):
        inside = (inside or at in starts) and character != "/"
        if inside:
            ends.add(at + 1)
    return ends


def _after_number(name: str, starts: set[int]) -> set[int]:
    """Return where a placeholder for a whole number, possibly padded, can end."""
    ends, before, digits, behind = set(), False, False, False
    for at, character in enumerate(name):
        before = before or at in starts
        behind = (digits or behind) and character == " "
        digits = (before or digits) and character.isdecimal()
        before = before and character in " +"
        if digits or behind:
            ends.add(at + 1)
    return ends


_Piece = str | Callable[[str, set[int]], set[int]]


def literal(text: str) -> str:
    """Return the template whose only path is ``text``."""
    return text.replace("{", "{{").replace("}", "}}")


def _placeholder(field: str | None, spec: str, conversion: str) -> str:
    if field is None:
        return ""
    return f"{{{field}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"


def _name(field: str) -> str:
    """Return the name that a placeholder looks up: what comes before any ``.attribute`` or ``[index]``."""
    return re.split(r"[.\[]", field, maxsplit=1)[0]


def _looked_up(text: str) -> Iterator[str]:
    """Yield the names that filling a template looks up, including those in a placeholder's format."""
    for _, field, spec, _ in Formatter().parse(text):
        if field is not None:
            yield _name(field)
            yield from _looked_up(spec or "")


def _remedy(name: str, values: Mapping[str, Any]) -> str:
    """Return what to do about a placeholder without a value; empty if nothing is known."""
    if name == "batch":
        return " The batch is known only where save_freq saves inside an epoch."
    if not name.startswith("val_") or name.removeprefix("val_") not in values:
        return did_you_mean(name, values)
    if "batch" in values:
        return " Validation metrics are known only at the end of an epoch: use {epoch} and {batch}, or save by epoch."
    return " Validation metrics need validation data."


def _number(value: Any) -> Any:
    """Return the number in an array or tensor of size 1; None for a value to format as it is."""
    if isinstance(value, int | float | str | PurePath):
        return None
    scalar = as_scalar(value)
    return int(scalar) if scalar is not None and np.issubdtype(np.asarray(value).dtype, np.integer) else scalar
