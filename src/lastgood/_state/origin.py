"""Where the batches of an epoch come from, in a form that a checkpoint can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


def is_count(value: Any) -> bool:
    """Return True if a value from a file is an integer that is not negative."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


@dataclass(frozen=True)
class Origin:
    """The state from which an iterator began: an iterator that begins from it draws the same batches again.

    Attributes:
        randomness: The generators' states at the beginning of the first epoch that draws from this iterator.
        iterators: How many iterators over the data had been created by then.
        source: The state of the dataset, if it has one.
        made_ahead: Whether this iterator had been created by then.
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
        """Return the origin from its saved form.

        Raises:
            ValueError: It is invalid.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(saved, dict) or not names - {"drawn", "passes"} <= saved.keys() <= names:
            raise ValueError("invalid value for the origin of its batches")
        origin = cls(**saved)
        counts = (origin.iterators, origin.drawn, origin.passes)
        sound = all(map(is_count, counts)) and isinstance(origin.made_ahead, bool | np.bool_)
        if not sound or not (origin.source is None or origin.source.keys() == {"own", "generators"}):
            raise ValueError("invalid value for the origin of its batches")
        return origin
