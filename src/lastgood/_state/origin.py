"""Where the batches of an epoch come from, in a form that a checkpoint can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


def is_count(value: Any) -> bool:
    """Tell whether a value that a file holds is a number of things."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


@dataclass(frozen=True)
class Origin:
    """Where the batches that are being drawn began: made again, it gives them again.

    Attributes:
        randomness: The generators' states, at the beginning of the first epoch that draws from this iterator.
        iterators: How many iterators of the data had been made by then.
        source: The state of the data set, if it has one.
        made_ahead: Whether the iterator had been made by then.
        drawn: Batches that earlier epochs drew from the iterator.
        passes: How many epochs Keras had counted, where it shuffles by that number.
    """

    randomness: Mapping[str, Any]
    iterators: int
    source: Any
    made_ahead: bool
    drawn: int = 0
    passes: int = 0

    @classmethod
    def of(cls, saved: Any) -> "Origin":
        """Return the origin that a file holds.

        Raises:
            ValueError: It holds none.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(saved, dict) or not names - {"drawn", "passes"} <= saved.keys() <= names:
            raise ValueError("the origin of its batches is not what a save puts there")
        origin = cls(**saved)
        counts = (origin.iterators, origin.drawn, origin.passes)
        sound = all(map(is_count, counts)) and isinstance(origin.made_ahead, bool | np.bool_)
        if not sound or not (origin.source is None or origin.source.keys() == {"own", "generators"}):
            raise ValueError("the origin of its batches is not what a save puts there")
        return origin
