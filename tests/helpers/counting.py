"""A model that counts its steps: each of its weights equals minus the number of steps."""

import numpy as np

from helpers.kit import TF_KERAS, keras

if TF_KERAS:
    import tensorflow as tf

    add_up, average = tf.reduce_sum, tf.reduce_mean
else:
    add_up, average = keras.ops.sum, keras.ops.mean


@keras.saving.register_keras_serializable("counting")
class CountsSteps(keras.Model):
    def __init__(self, numbers, **kwargs):
        super().__init__(**kwargs)
        self.numbers = numbers
        self.many = [self.add_weight(shape=(numbers,), initializer="zeros", name=f"w{i}") for i in range(8)]
        self.scalar = self.add_weight(shape=(), initializer="zeros", name="scalar")

    def build(self, shape):
        self.built = True

    def call(self, x):
        return x[:, :1] * 0 + sum(add_up(w) for w in self.many) + self.scalar

    def get_config(self):
        return {**super().get_config(), "numbers": self.numbers}


@keras.saving.register_keras_serializable("counting")
def mean_output(y, p):
    return average(p)


def model(numbers=64, **compile_options):
    """Return a model with 8 weights of ``numbers`` numbers each, and a scalar."""
    made = CountsSteps(numbers, name="counts")
    made.build((None, 4))
    # The gradient of the sum is 1 everywhere, and so is each step of SGD, downwards.
    made.compile(optimizer=keras.optimizers.SGD(1.0), loss=mean_output, **compile_options)
    return made


def steps_in(path, numbers=64):
    """Return the number of steps of all weights in a file, as stock Keras loads them."""
    loaded = model(numbers)
    loaded.load_weights(path)
    values = {float(-v) for w in loaded.get_weights() for v in np.unique(w)}
    assert len(values) == 1, f"{path} holds tensors of different steps: {values}"
    return values.pop()
