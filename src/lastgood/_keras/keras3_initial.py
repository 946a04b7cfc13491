"""Random initial values that a file is about to overwrite. The private names are those of Keras 3.15.1."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import keras

_RANDOM = "keras.src.initializers.random_initializers"
_METHOD = "_initialize_with_initializer"


class InitialValues:
    """The random initial values of variables that were created without them; they have ones meanwhile."""

    def __init__(self) -> None:
        """Start without any."""
        self._postponed: list[tuple[Any, Any]] = []

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Create variables in the block, in this thread, without their random values, which take long to draw."""
        original = getattr(keras.Variable, _METHOD, None)
        if original is None or keras.distribution.distribution() is not None:  # such values are made where they belong
            yield
            return
        is_own, thread = _METHOD in vars(keras.Variable), threading.get_ident()

        def initialize(variable: Any, initializer: Any) -> None:
            if threading.get_ident() == thread and _draws_the_same_later(initializer):
                self._postponed.append((variable, initializer))
                initializer = keras.initializers.Ones()  # not zeros, so that a layer can divide by their norm
            original(variable, initializer)

        setattr(keras.Variable, _METHOD, initialize)
        try:
            yield
        finally:
            if is_own:
                setattr(keras.Variable, _METHOD, original)
            else:
                delattr(keras.Variable, _METHOD)

    def set(self, *, but_not: Collection[Any] = ()) -> None:
        """Give the variables their initial values, except those that have been filled since."""
        filled = set(map(id, but_not))
        for variable, initializer in self._postponed:
            if id(variable) not in filled:
                variable.assign(initializer(variable.shape, dtype=variable.dtype))
        self._postponed.clear()


def _draws_the_same_later(initializer: Any) -> bool:
    """Return True for one of Keras's own initializers, whose values depend on nothing but its seed."""
    return type(initializer).__module__ == _RANDOM and isinstance(getattr(initializer, "seed", None), int)
