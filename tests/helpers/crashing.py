"""Trainings that crash within one process: a crash is an exception, a restart a new model and new callbacks."""

import numpy as np
import pytest

from helpers.kit import keras, to_numpy
from lastgood import ModelCheckpoint


class CrashError(Exception):
    pass


class CrashAt(keras.callbacks.Callback):
    """Ends training after a batch, counted over all epochs of this fit, or at the end of an epoch."""

    def __init__(self, batch=None, epoch=None):
        super().__init__()
        self.left, self.epoch = batch, epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise CrashError

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise CrashError


class TrainedYet(keras.callbacks.Callback):
    """Notes which warnings had been given before the first batch of a training.

    Attributes:
        before: Their texts; None until there is a batch.
    """

    def __init__(self, told):
        """Note warnings from a list that is filled as they are given."""
        super().__init__()
        self.told, self.before = told, None

    def on_train_batch_begin(self, batch, logs=None):
        if self.before is None:
            self.before = [str(each.message) for each in self.told]


def build(**options):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dropout(0.4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")], **options)
    return model


def start(fit, callbacks, epochs=3, other=True, **options):
    """Start, or restart: with the seed of the script, and other weights, so that starting over is visible."""
    keras.utils.set_random_seed(5)
    model = build()
    if other:
        model.set_weights([weight + 1 for weight in model.get_weights()])
    keras.utils.set_random_seed(6)
    history = fit(model, callbacks, epochs=epochs, **options)
    return model, history


def crash(fit, callbacks, **options):
    with pytest.raises(CrashError):
        start(fit, callbacks, other=False, **options)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.csv_file.close()  # a process that has ended has no open files
        if isinstance(callback, ModelCheckpoint):
            callback.wait()


def values(model):
    return [np.array(to_numpy(v)) for v in [*model.variables, *model.optimizer.variables]]


def assert_alike(a, b):
    for one, other in zip(values(a[0]), values(b[0]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert a[1].history == b[1].history
    assert a[1].epoch == b[1].epoch
