"""A model that counts its steps: each weight that is trained equals minus the number of steps."""

import numpy as np

from helpers.kit import TF_KERAS, keras, to_numpy

if TF_KERAS:
    import tensorflow as tf

    add_up, average = tf.reduce_sum, tf.reduce_mean
else:
    add_up, average = keras.ops.sum, keras.ops.mean


@keras.saving.register_keras_serializable("counting")
class CountsSteps(keras.Model):
    def __init__(self, numbers, frozen=0, **kwargs):
        super().__init__(**kwargs)
        self.numbers, self.frozen = numbers, frozen
        if frozen:
            self.backbone = self.add_weight(shape=(frozen,), initializer="ones", name="backbone", trainable=False)
        self.many = [self.add_weight(shape=(numbers,), initializer="zeros", name=f"w{i}") for i in range(8)]
        self.scalar = self.add_weight(shape=(), initializer="zeros", name="scalar")

    def build(self, shape):
        self.built = True

    def call(self, x):
        return x[:, :1] * 0 + sum(add_up(w) for w in self.many) + self.scalar

    def get_config(self):
        return {**super().get_config(), "numbers": self.numbers, "frozen": self.frozen}


@keras.saving.register_keras_serializable("counting")
def mean_output(y, p):
    return average(p)


def model(numbers=64, frozen=0, **compile_options):
    """Return a model with 8 weights of ``numbers`` numbers each, a scalar, and a weight that is not trained."""
    made = CountsSteps(numbers, frozen, name="counts")
    made.build((None, 4))
    # The gradient of the sum is 1 everywhere, and so is each step of SGD, downwards.
    made.compile(optimizer=keras.optimizers.SGD(1.0), loss=mean_output, **compile_options)
    return made


def steps_in(path, numbers=64, frozen=0):
    """Return the number of steps of all weights in a file, as stock Keras loads them."""
    loaded = model(numbers, frozen)
    loaded.load_weights(path)
    return steps_of(loaded, path)


def steps_of(loaded, path):
    """Return the number of steps of all weights of a model that was loaded from a path."""
    found = steps_found(loaded)
    assert len(found) == 1, f"{path} holds tensors of different steps: {found}"
    return found.pop()


def steps_found(model):
    """Return all numbers of steps in a model's weights, and what is wrong with the weight that is not trained."""
    steps = {float(-v) for w in model.trainable_weights for v in np.unique(to_numpy(w))}
    return steps | {f"frozen: {v}" for w in model.non_trainable_weights for v in np.unique(to_numpy(w)) if v != 1}
