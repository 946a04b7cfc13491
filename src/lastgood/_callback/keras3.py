"""The callback for Keras 3."""

import keras

from .callback import CheckpointCallback


class ModelCheckpoint(CheckpointCallback, keras.callbacks.Callback):
    """A callback that saves the model or its weights during ``fit()``; a file that appears is complete and durable.

    The first nine arguments and their effects are those of ``tf.keras.callbacks.ModelCheckpoint``.

    >>> ckpt = ModelCheckpoint("runs/{epoch:02d}-{val_loss:.2f}.keras", save_best_only=True)
    >>> model.fit(x, y, validation_data=(xv, yv), epochs=10, callbacks=[ckpt])  # doctest: +SKIP

    Attributes:
        best: The best monitored value of the saves so far; None before the first. It changes once a save is durable.

    Source: the documentation of ``tf.keras.callbacks.ModelCheckpoint`` 2.9, and the code of Keras 3.15.
    """

    __module__ = "lastgood"
    generation = "keras"
