"""The callback for tf_keras 2."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras

from .._policies.monitor import resolve_direction
from .._policies.naming import Template
from .._policies.schedule import Epochs
from .._run import Series
from .callback import CheckpointCallback


class ModelCheckpoint(CheckpointCallback, tf_keras.callbacks.Callback):
    """A callback that saves the model or its weights during ``fit()``; a file that appears is complete and durable.

    The first nine arguments and their effects are those of ``tf.keras.callbacks.ModelCheckpoint``. The ending of the
    path determines the format: ``.keras``, ``.weights.h5`` (weights only), ``.h5`` or ``.hdf5``; any other ending, or
    none, means a TensorFlow checkpoint with ``save_weights_only``, otherwise a SavedModel directory.

    >>> ckpt = ModelCheckpoint("runs/{epoch:02d}-{val_loss:.2f}.keras", save_best_only=True)
    >>> model.fit(x, y, validation_data=(xv, yv), epochs=10, callbacks=[ckpt])  # doctest: +SKIP

    Attributes:
        best: The best monitored value of the saves so far; infinite before the first. It changes once a save is
            durable.
        monitor_op: Returns whether one value is better than another.

    Source: the documentation of ``tf.keras.callbacks.ModelCheckpoint`` 2.9, and the code of tf_keras 2.21.
    """

    __module__ = "lastgood.tf_keras"
    generation = "tf_keras"

    def _complete(self) -> None:
        """Set what tf_keras, and subclasses written for its own callback, look for."""
        self._supports_tf_logs = True  # logs of batches stay tensors until a save is due
        self._chief_worker_only = False
        least = resolve_direction(self.monitor, self.mode, {}).mode == "min"
        self.monitor_op = np.less if least else np.greater
        if self.best is None:
            self.best = float("inf") if least else float("-inf")

    def _implements_train_batch_hooks(self) -> bool:
        """Return True if the schedule asks for batches; tf_keras skips batch hooks that no callback needs."""
        return "batch" in self._schedule.hooks

    def _save_model(self, epoch: int, batch: int | None, logs: Mapping[str, Any] | None) -> None:
        """Save the model, if the monitored metric allows it and, in a subclass's own hook, the period has passed.

        Args:
            epoch: The epoch, counted from 0.
            batch: The index of the batch; None at an epoch's end.
            logs: The logs of the hook.
        """
        if self._due is None:
            if isinstance(self._schedule, Epochs) and self.epochs_since_last_save < self.period:
                return
            self.epochs_since_last_save = 0
            self._epoch = epoch
        super()._save_model(epoch, batch, logs)

    def _get_most_recently_modified_file_matching_pattern(self, pattern: str) -> str | None:
        """Return the path of the newest checkpoint of a template; None if there is none."""
        settings = self._engine.settings
        newest = Series(Template(str(pattern)), settings.format, settings.storage).newest()
        return None if newest is None else str(newest)
