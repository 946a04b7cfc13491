"""Runs the training script ``child.py`` in separate processes."""

import json
import os
from pathlib import Path

import numpy as np

from helpers import children

CHILD = Path(__file__).with_name("child.py")


def train(directory, backend, **given):
    """Run the script; return (exit status, its output)."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["LASTGOOD_PRELOAD"] = "tensorflow"  # Keras seeds it if installed, and tf.data shuffles by that
    for name in ("JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS"):  # a user's restart compiles everything again
        environment.pop(name, None)
    if backend == "tf_keras":
        environment |= {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "1"}
    done = children.run([CHILD, directory, json.dumps(given)], env=environment)
    return done.returncode, done.stdout + done.stderr


def ending(directory):
    """Return the final state of a run: variables, history, the logger's file."""
    with np.load(directory / "end.npz") as file:
        arrays = [file[name] for name in file.files]
    return arrays, json.loads((directory / "history.json").read_text()), (directory / "log.csv").read_bytes()


def assert_same(directory, other):
    """Check that two runs ended with the same bits."""
    for a, b in zip(ending(directory)[0], ending(other)[0], strict=True):
        assert a.tobytes() == b.tobytes(), f"a variable differs by up to {np.abs(a - b).max()}"
    assert ending(directory)[1:] == ending(other)[1:]
