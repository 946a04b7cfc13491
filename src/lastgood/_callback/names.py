"""Warnings about names that you use but training does not log, given as soon as that is certain."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from .._errors import did_you_mean

_VALIDATED = "val_"
_NOT_LOGGED = ("epoch", "batch")  # placeholders that need no logs


class MissingNames:
    """The names that a callback's path and monitor use."""

    def __init__(
        self, names: Iterable[str], later: Iterable[str], logged: set[str] | None, *, may_be_added: bool
    ) -> None:
        """Warn at once about names that nothing can log.

        Args:
            names: The names.
            later: Those of them whose absence no save would report.
            logged: The names that the model logs, without ``val_``: each may also come with it, as it is not known
                yet whether there will be a validation. None if they are not known.
            may_be_added: Whether another callback may add to the logs.
        """
        self._waiting = list(later)
        if logged is None or may_be_added:
            return
        plain = sorted(name for name in logged if name not in ("lr", "learning_rate"))
        choices = [*plain, *(_VALIDATED + name for name in plain)]
        for name in dict.fromkeys(names):
            if name not in _NOT_LOGGED and name.removeprefix(_VALIDATED) not in logged:
                hint = did_you_mean(name, [*choices, *_NOT_LOGGED])
                warnings.warn(
                    f"ModelCheckpoint uses '{name}', which this model will not log.{hint} It logs: "
                    f"{', '.join(choices)} (those with 'val_' only where there is validation data).",
                    stacklevel=6,
                )
        self._waiting = []

    def look_at(self, logs: Mapping[str, Any]) -> None:
        """Warn, once, about names that are missing from the logs of the first epoch that can have them.

        Args:
            logs: The logs of an epoch's end.
        """
        if not self._waiting:
            return
        has_validated = any(name.startswith(_VALIDATED) for name in logs)
        due = [name for name in self._waiting if has_validated or not name.startswith(_VALIDATED)]
        self._waiting = [name for name in self._waiting if name not in due]
        for name in due:
            if name not in logs:
                warnings.warn(
                    f"ModelCheckpoint uses '{name}', which this epoch has not logged.{did_you_mean(name, logs)} It "
                    f"logged: {', '.join(sorted(logs)) or 'nothing'}.",
                    stacklevel=5,
                )
