"""Run the example from the document that describes ModelCheckpoint, word for word."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.kit import keras
from lastgood import ModelCheckpoint

EXAMPLE = """
model.compile(loss=..., optimizer=..., metrics=["accuracy"])

EPOCHS = 10
checkpoint_filepath = "/tmp/checkpoint"
model_checkpoint_callback = tf.keras.callbacks.ModelCheckpoint(
    filepath=checkpoint_filepath,
    save_weights_only=True,
    monitor="val_accuracy",
    mode="max",
    save_best_only=True,
)

# 如果模型是目前为止最好的模型，则在每个 epoch 后保存模型权重
model.fit(epochs=EPOCHS, callbacks=[model_checkpoint_callback])

# The model weights (that are considered the best) are loaded into the model.
model.load_weights(checkpoint_filepath)
"""


class Elided(keras.Sequential):
    """Fills in what the document leaves out: the loss, the optimizer and the data."""

    def compile(self, loss, optimizer, metrics):
        assert loss is optimizer is ...
        super().compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.3), metrics=metrics)

    def fit(self, epochs, callbacks):
        rng = np.random.default_rng(5)
        x = rng.normal(size=(64, 4)).astype("float32")
        y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
        weights = {}
        remember = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: weights.update({epoch: self.state()})
        )
        history = (
            super()
            .fit(x, y, validation_data=(x, y), epochs=epochs, callbacks=[remember, *callbacks], verbose=0)
            .history["val_accuracy"]
        )
        self.best = weights[int(np.argmax(history))]

    def state(self):
        return [w.copy() for w in self.get_weights()] + [np.array(v) for v in self.optimizer.variables]


def test_the_example_runs_word_for_word():
    target = Path("/tmp/checkpoint")
    if list(target.parent.glob("checkpoint*")):  # tf_keras creates files whose names begin with this one
        pytest.skip(f"files named {target}* already exist")
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = Elided(layers)
    callbacks = SimpleNamespace(ModelCheckpoint=ModelCheckpoint)
    names = {"model": model, "tf": SimpleNamespace(keras=SimpleNamespace(callbacks=callbacks))}
    try:
        exec(EXAMPLE, names)
    finally:
        for path in target.parent.glob("checkpoint*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    restored = model.state()
    assert all(np.array_equal(a, b) for a, b in zip(restored, model.best, strict=True))
    assert names["model_checkpoint_callback"].best > 0.5
