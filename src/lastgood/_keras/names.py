"""Automatic names, which Keras generates, and names that the user chose.

Keras numbers the objects that the user does not name, and counts through the process: the first dense layer is
``dense``; if the model is built again in the same process, it is ``dense_1``. Such numbers give only the order.
"""

import re
from collections.abc import Collection, Iterable


def automatic_base(name: str, cls: str) -> str | None:
    """Return the automatic name of an object of class ``cls``, without its number; None if the user chose ``name``."""
    base = re.sub(r"_\d+$", "", name)
    return base if base.replace("_", "").lower() == cls.replace("_", "").lower() else None


class AutomaticNames:
    """The automatic names in a model, and how to match them with those in another model."""

    def __init__(self, bases: Collection[str]) -> None:
        """Take the names, at least one, without their numbers."""
        names = "|".join(sorted(map(re.escape, bases), key=len, reverse=True))
        self._part = re.compile(rf"({names})(?:_(\d+))?")
        self._within = re.compile(rf"(?<![a-zA-Z0-9])({names})_\d+(?![a-zA-Z0-9])")

    def are_alike(self, one: str, other: str) -> bool:
        """Return True if two names differ at most in the numbers of automatic names in them."""
        return one == other or self._within.sub(r"\1", one) == self._within.sub(r"\1", other)

    def pair(self, some: Iterable[str], others: Iterable[str]) -> dict[str, str]:
        """Map each path to its match among ``others``; omit those without a match.

        Paths that differ only in the numbers of automatic names are matched in order.
        """
        mine, theirs = self._grouped(some), self._grouped(others)
        pairs: dict[str, str] = {}
        for pattern, paths in mine.items():
            pairs |= zip(paths, theirs.get(pattern, ()), strict=False)
        return pairs

    def _grouped(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Group the paths by their form without numbers, each group in the order of the numbers."""
        keyed: dict[str, list[tuple[list[int], str]]] = {}
        for path in paths:
            found = [(part, self._part.fullmatch(part)) for part in path.split("/")]
            pattern = "/".join(match[1] if match else part for part, match in found)
            numbers = [int(match[2] or -1) if match else -1 for _, match in found]
            keyed.setdefault(pattern, []).append((numbers, path))
        return {pattern: [path for _, path in sorted(group)] for pattern, group in keyed.items()}
