"""Names that Keras gave, and names that the user chose.

Keras numbers what the user does not name, and counts through the process: the first dense layer is ``dense``, and in a
model that is built once more in the same process it is ``dense_1``. Such numbers say nothing but the order.
"""

import re
from collections.abc import Collection, Iterable


def automatic_base(name: str, cls: str) -> str | None:
    """Return the name that Keras gives to an object of a class, without its number; None if ``name`` is the user's."""
    base = re.sub(r"_\d+$", "", name)
    return base if base.replace("_", "").lower() == cls.replace("_", "").lower() else None


class AutomaticNames:
    """The names in a model that Keras gave, and how to find the like of each in another model."""

    def __init__(self, bases: Collection[str]) -> None:
        """Take the names, without their numbers; at least one."""
        names = "|".join(sorted(map(re.escape, bases), key=len, reverse=True))
        self._part = re.compile(rf"({names})(?:_(\d+))?")
        self._within = re.compile(rf"(?<![a-zA-Z0-9])({names})_\d+(?![a-zA-Z0-9])")

    def are_alike(self, one: str, other: str) -> bool:
        """Return True if two names differ in nothing but the numbers of automatic names in them."""
        return one == other or self._within.sub(r"\1", one) == self._within.sub(r"\1", other)

    def pair(self, some: Iterable[str], others: Iterable[str]) -> dict[str, str]:
        """Return, for each of some paths, that of the others which stands for the same; without it, it is left out.

        Paths that differ in nothing but the numbers of automatic names go in order.
        """
        mine, theirs = self._grouped(some), self._grouped(others)
        pairs: dict[str, str] = {}
        for pattern, paths in mine.items():
            pairs |= zip(paths, theirs.get(pattern, ()), strict=False)
        return pairs

    def _grouped(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Return the paths by what they are without numbers, each list in the order of the numbers."""
        keyed: dict[str, list[tuple[list[int], str]]] = {}
        for path in paths:
            found = [(part, self._part.fullmatch(part)) for part in path.split("/")]
            pattern = "/".join(match[1] if match else part for part, match in found)
            numbers = [int(match[2] or -1) if match else -1 for _, match in found]
            keyed.setdefault(pattern, []).append((numbers, path))
        return {pattern: [path for _, path in sorted(group)] for pattern, group in keyed.items()}
