"""TensorFlow's own switch between the Kerases: which of them ``tf.keras`` is, and ``lastgood.ModelCheckpoint`` for."""

import os


def wants_tf_keras() -> bool:
    """Tell whether ``TF_USE_LEGACY_KERAS`` asks for tf_keras 2."""
    return os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")
