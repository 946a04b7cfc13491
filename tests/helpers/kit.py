"""The Keras that a test session is about: Keras 3 or, with TensorFlow's own switch, tf_keras 2."""

import importlib
import os

TF_KERAS = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
keras = importlib.import_module("tf_keras" if TF_KERAS else "keras")

if TF_KERAS:  # else Dropout draws from a state that nothing can see, and lastgood says so
    keras.backend.experimental.enable_tf_random_generator()


def to_numpy(value):
    """Return what a variable or tensor holds."""
    return value.numpy() if TF_KERAS else keras.ops.convert_to_numpy(value)
