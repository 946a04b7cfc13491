"""The end of training, after all other callbacks: what they change in their last hook has been changed by then."""

from collections.abc import Callable, Mapping
from typing import Any

from .._keras import Hooks


class LastHook(Hooks):
    """Calls what is to be done last; ``as_callback`` makes it one of a Keras's callbacks."""

    def __init__(self, end: Callable[[Mapping[str, Any] | None], None]) -> None:
        """Take what to call with the logs."""
        super().__init__()
        self._end = end

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call it."""
        self._end(logs)
