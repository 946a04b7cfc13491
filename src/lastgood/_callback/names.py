"""Names that you ask for and that training does not log: said as soon as it is certain, and not before."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

_VALIDATED = "val_"
_NOT_LOGGED = ("epoch", "batch")  # placeholders that are filled without the logs


class MissingNames:
    """The names that a callback's path and monitor ask for."""

    def __init__(
        self, names: Iterable[str], later: Iterable[str], logged: set[str] | None, *, may_be_added: bool
    ) -> None:
        """Warn at once of names that nothing can log.

        Args:
            names: The names.
            later: Those of them that no save would miss aloud.
            logged: The names that the model logs, without those of validation: whether there will be one cannot be
                known here, so each may come with ``val_`` before it. None if they are not known.
            may_be_added: Whether another callback may add to the logs.
        """
        self._waiting = list(later)
        if logged is None or may_be_added:
            return
        plain = sorted(name for name in logged if name not in ("lr", "learning_rate"))
        choices = [*plain, *(_VALIDATED + name for name in plain)]
        for name in dict.fromkeys(names):
            if name not in _NOT_LOGGED and name.removeprefix(_VALIDATED) not in logged:
                warnings.warn(
                    f"ModelCheckpoint uses '{name}', which this model will not log.{_hint(name, choices)} It logs: "
                    f"{', '.join(choices)} (those with 'val_' only where there is validation data).",
                    stacklevel=6,
                )
        self._waiting = []

    def look_at(self, logs: Mapping[str, Any]) -> None:
        """Warn of the names that are missing in the logs of the first epoch that can have them; once.

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
                    f"ModelCheckpoint uses '{name}', which this epoch has not logged.{_hint(name, sorted(logs))} It "
                    f"logged: {', '.join(sorted(logs)) or 'nothing'}.",
                    stacklevel=5,
                )


def _hint(name: str, choices: Sequence[str]) -> str:
    close = get_close_matches(name, choices, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
