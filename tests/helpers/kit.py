"""The Keras of a test session: Keras 3 or, with TensorFlow's own switch, tf_keras 2."""

import importlib
import os

TF_KERAS = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
keras = importlib.import_module("tf_keras" if TF_KERAS else "keras")

if TF_KERAS:  # else Dropout draws from a state that cannot be saved, and lastgood warns
    keras.backend.experimental.enable_tf_random_generator()


def to_numpy(value):
    """Return the value of a variable or tensor."""
    return value.numpy() if TF_KERAS else keras.ops.convert_to_numpy(value)
