"""The end of training, behind all other callbacks: what they still change in theirs has been changed by then."""

from collections.abc import Callable, Mapping
from typing import Any

from .._frameworks import Hooks


class Ending(Hooks):
    """Calls what is to be done last; made a callback by ``_frameworks.as_callback``."""

    def __init__(self, end: Callable[[Mapping[str, Any] | None], None]) -> None:
        """Take what to call with the logs."""
        super().__init__()
        self._end = end

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call it."""
        self._end(logs)
