"""The methods of stock Keras's callback that subclasses override: what to save, whether, and where.

Keras documents none of them, but people build on them. A save that is due goes through all three.
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any

from .._keras import has_code
from .._moment import Moment
from .fit_part import FitPart

# Other methods of stock Keras's callback, which are not called here: the engine does their work.
_NOT_CALLED = (
    "_checkpoint_exists",
    "_is_improvement",
    "_maybe_remove_file",
    "_save_handler",
    "_set_monitor_op",
    "_should_save_on_batch",
)


class StockMethods(FitPart):
    """Hooks that save through methods that a subclass may override."""

    _due: Moment | None = None

    def _save_model(self, epoch: int, batch: int | None, logs: Mapping[str, Any] | None) -> None:
        """Save the model, if the monitored metric allows it.

        Args:
            epoch: The epoch, counted from 0.
            batch: The index of the batch; None at an epoch's end.
            logs: The logs of the hook.
        """
        moment = self._asked(batch, logs)
        self._act(lambda: self._save_if_allowed(moment, (epoch, batch, logs)), moment)

    def _save_if_allowed(self, moment: Moment, asked: tuple[int, int | None, Mapping[str, Any] | None]) -> None:
        filepath = os.fspath(self._get_file_path(*asked))
        if self._should_save_model(*asked, filepath):
            self._saves.save(moment, filepath, best=self._saves.take_improvement())
            if self._due is None:
                self._finish_if_seen("on_epoch_end")

    def _should_save_model(self, epoch: int, batch: int | None, logs: Mapping[str, Any] | None, filepath: str) -> bool:
        """Return True if the monitored metric allows a save, or without ``save_best_only``; print the decision."""
        del epoch
        return self._saves.allows(self._asked(batch, logs), filepath)

    def _get_file_path(self, epoch: int, batch: int | None, logs: Mapping[str, Any] | None) -> str:
        """Return the path to save to.

        Raises:
            PlaceholderError: A KeyError: a placeholder names a value that is not logged.
        """
        template, logs = self._engine.settings.template, self._asked(batch, logs).logs
        return template.path(epoch=epoch + 1, batch=None if batch is None else batch + 1, logs=logs)

    def _save_due(self, moment: Moment) -> None:
        """Save at a moment that the schedule has chosen."""
        self._due = moment
        try:
            self._save_model(moment.epoch - 1, None if moment.batch is None else moment.batch - 1, dict(moment.logs))
        finally:
            self._due = None

    def _asked(self, batch: int | None, logs: Mapping[str, Any] | None) -> Moment:
        """Return the moment of the save that is due, or that a subclass requests in its own hook."""
        if self._due is not None:
            return self._due
        return self._moment("epoch", None, logs) if batch is None else self._moment("batch", batch + 1, logs)

    def _warn_of_overrides(self) -> None:
        """Warn, at construction, about methods of a subclass that are not called."""
        for name in _NOT_CALLED:
            if has_code(self, name):
                warnings.warn(
                    f"{type(self).__name__} overrides {name}(), which lastgood does not call. Override _save_model(), "
                    "_should_save_model() or _get_file_path(), or pass save_freq an object with a method due(moment).",
                    stacklevel=4,
                )
