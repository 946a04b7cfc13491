"""State that layers keep between batches outside the model's variables: recurrent states and buffers."""

import numpy as np
import pytest

from helpers.crashing import CrashAt, CrashError
from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import ModelCheckpoint

BACKEND = "tensorflow" if TF_KERAS else keras.backend.backend()
layers = keras.layers
X = np.random.default_rng(0).normal(size=(32, 5, 3)).astype("float32")
Y = X[:, 0, :1]

RECURRENT = {
    "LSTM": lambda: layers.LSTM(4, stateful=True),
    "GRU": lambda: layers.GRU(4, stateful=True),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(4, stateful=True)),
    "LSTMCell": lambda: layers.RNN(layers.LSTMCell(4), stateful=True),
    "cells": lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], stateful=True),
}
if BACKEND == "torch":  # where Keras's LSTM and GRU layers cannot be trained with states
    RECURRENT = {name: RECURRENT[name] for name in ("LSTMCell", "cells")}


class Counting(layers.Layer):
    """Counts its calls where Keras does not look: in a custom object, or in a buffer of the backend."""

    def __init__(self):
        super().__init__()
        self.memory = Memory()
        if BACKEND == "torch":
            import torch

            self.register_buffer("calls", torch.zeros((), dtype=torch.bfloat16))
        elif BACKEND == "tensorflow":
            import tensorflow as tf

            self.memory.calls = tf.Variable(0.0, trainable=False)

    def call(self, x):
        calls = self.memory.calls if BACKEND == "tensorflow" else self.calls
        if BACKEND == "torch":
            calls += 1
        else:
            calls.assign_add(1.0)
        return x + calls / 100


class Memory:
    """A custom object, unknown to Keras."""


def train(layer, callbacks):
    keras.utils.set_random_seed(0)
    given = keras.Input(batch_shape=(4, 5, 3))
    model = keras.Model(given, layers.Dense(1)(layer()(given)))
    model.compile("adam", "mse")
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, shuffle=False, callbacks=callbacks)
    return model


def assert_continued_exactly(layer, path, weights_only):
    def callback():
        return ModelCheckpoint(path, save_weights_only=weights_only, save_freq=3, resume=True)

    first = callback()
    with pytest.raises(CrashError):
        train(layer, [first, CrashAt(batch=11)])
    first.wait()
    resumed, whole = train(layer, [callback()]), train(layer, [])
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_restart_restores_the_states_of_a_recurrent_layer(tmp_path, name):
    assert_continued_exactly(RECURRENT[name], tmp_path / "{epoch}-{batch}.keras", weights_only=False)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ""])
def test_the_states_of_a_recurrent_layer_are_in_every_format(tmp_path, ending):
    assert_continued_exactly(RECURRENT["LSTMCell"], f"{tmp_path}/{{epoch}}-{{batch}}{ending}", weights_only=True)


@pytest.mark.each_backend
@pytest.mark.skipif(BACKEND == "jax", reason="on jax, a compiled step changes only what Keras lists")
def test_a_restart_restores_a_buffer_or_a_variable_of_the_backend(tmp_path):
    def layer():
        return keras.Sequential([layers.Flatten(), Counting()])

    assert_continued_exactly(layer, tmp_path / "{epoch}-{batch}.weights.h5", weights_only=True)


@pytest.mark.each_backend
@pytest.mark.skipif(BACKEND == "jax" or TF_KERAS, reason="only on TensorFlow and torch does a step change it")
def test_a_restart_warns_by_name_about_states_that_the_model_lacks(tmp_path):
    def callback():
        return ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True, resume=True)

    train(RECURRENT["LSTMCell"], [callback()])
    with pytest.warns(UserWarning, match=r"The state in '_layers/1/states/0', '_layers/1/states/1' is not both"):
        train(lambda: layers.RNN(layers.LSTMCell(4)), [callback()])
