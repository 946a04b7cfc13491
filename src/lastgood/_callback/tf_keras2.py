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
    """Save the model, or its weights, while ``fit()`` runs; a file that appears is whole and durable.

    The first nine arguments and all that follows from them are those of ``tf.keras.callbacks.ModelCheckpoint``. The
    path chooses the format: ``.keras``, ``.weights.h5`` (weights only), ``.h5`` or ``.hdf5``; any other ending, or
    none, is a TensorFlow checkpoint with ``save_weights_only``, else a SavedModel directory.

    >>> ckpt = ModelCheckpoint("runs/{epoch:02d}-{val_loss:.2f}.keras", save_best_only=True)
    >>> model.fit(x, y, validation_data=(xv, yv), epochs=10, callbacks=[ckpt])  # doctest: +SKIP

    Attributes:
        best: The best monitored value of the saves so far; infinite before the first. It moves when a save has
            succeeded.
        monitor_op: Tells whether one value is better than another.

    Source: the documentation of ``tf.keras.callbacks.ModelCheckpoint`` 2.9, and the code of tf_keras 2.21.
    """

    __module__ = "lastgood.tf_keras"
    generation = "tf_keras"

    def _complete(self) -> None:
        """Set what tf_keras and subclasses of its own callback look for."""
        self._supports_tf_logs = True  # logs of batches stay tensors until a save is due
        self._chief_worker_only = False
        least = resolve_direction(self.monitor, self.mode, {}).mode == "min"
        self.monitor_op = np.less if least else np.greater
        if self.best is None:
            self.best = float("inf") if least else float("-inf")

    def _implements_train_batch_hooks(self) -> bool:
        """Tell whether batches matter: where none does, tf_keras does not call their hooks."""
        return "batch" in self._schedule.hooks

    def _save_model(self, epoch: int, batch: int | None, logs: Mapping[str, Any] | None) -> None:
        """Save the model, if the monitored metric allows it; from a subclass's own hook, if the period has passed.

        Args:
            epoch: The epoch, counted from 0.
            batch: The index of the batch; None for an epoch's end.
            logs: The logs of the hook.
        """
        if self._due is None:
            if isinstance(self._schedule, Epochs) and self.epochs_since_last_save < self.period:
                return
            self.epochs_since_last_save = 0
            self._epoch = epoch
        super()._save_model(epoch, batch, logs)

    def _get_most_recently_modified_file_matching_pattern(self, pattern: str) -> str | None:
        """Return the newest checkpoint that a template can have named; None if there is none."""
        settings = self._engine.settings
        newest = Series(Template(str(pattern)), settings.format, settings.storage).newest()
        return None if newest is None else str(newest)
