"""A save with another backend does not import TensorFlow, which would take seconds and 500 MB."""

import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

from helpers.kit import keras

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="the TensorFlow backend imports it anyway"),
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]
HEAD = """
    import json, sys, zipfile
    import keras, lastgood
    import numpy as np
    class Shaped(keras.layers.Layer):
        def __init__(self, told=None, **options):
            super().__init__(**options)
            self.told = told
        def call(self, inputs):
            return inputs
        def get_config(self):
            return {**super().get_config(), "told": self.told}
    def train(told, path):
        model = keras.Sequential([keras.Input((4,)), Shaped(told), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(np.zeros((8, 4)), np.zeros((8, 1)), verbose=0, callbacks=[lastgood.ModelCheckpoint(path)])
        return model
"""


def run(code, *arguments):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        textwrap.dedent(HEAD) + textwrap.dedent(code),
        *map(str, arguments),
    ]
    environment = {**os.environ, "LASTGOOD_LEAN": "no"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_save_does_not_import_tensorflow(tmp_path):
    code = """
        train(None, sys.argv[1])
        from keras.src.saving import serialization_lib
        print(json.dumps(["tensorflow" in sys.modules, type(serialization_lib.tf).__module__]))
    """
    assert run(code, tmp_path / "m.keras") == [False, "keras.src.utils.module_utils"]


def test_if_tensorflow_is_imported_its_objects_are_saved_as_stock_keras_saves_them(tmp_path):
    code = """
        import tensorflow as tf
        ours, stock = sys.argv[1:]
        train(tf.TensorShape([1, 2]), ours).save(stock)
        configs = [json.loads(zipfile.ZipFile(path).read("config.json")) for path in (ours, stock)]
        print(json.dumps([each["config"]["layers"][1]["config"]["told"] for each in configs]))
    """
    ours, stock = run(code, tmp_path / "ours.keras", tmp_path / "stock.keras")
    assert ours == stock == [1, 2]
