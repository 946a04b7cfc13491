"""A hook at the end of training that runs after the last hooks of all other callbacks, and so sees their changes."""

from collections.abc import Callable, Mapping
from typing import Any

from .._keras import Hooks


class LastHook(Hooks):
    """Hooks that call a function at the very end of training; ``as_callback`` turns them into a callback."""

    def __init__(self, end: Callable[[Mapping[str, Any] | None], None]) -> None:
        """Take the function to call with the logs."""
        super().__init__()
        self._end = end

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call the function."""
        self._end(logs)
