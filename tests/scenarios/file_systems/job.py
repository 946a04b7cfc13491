"""A training that a test kills and restarts: python job.py DIRECTORY BATCH [files].

It saves in three formats, with retention and resume; with "files", it leaves out the one that is a directory.
It kills itself at the batch, or writes its history to standard output as JSON.
"""

import json
import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
import lastgood
from helpers.kit import keras

FORMATS = {"{epoch}.keras": False, "{epoch}.weights.h5": True, "directory/{epoch}": False}
BATCHES = 4


class Killer(keras.callbacks.Callback):
    """Kills its process at a batch."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    directory, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(500, name="a"), keras.layers.Dense(1, name="b")])
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    options = {"keep_last": 2, "resume": True, "save_last": True}
    saves = [
        lastgood.ModelCheckpoint(directory / name, save_weights_only=weights_only, monitor="loss", **options)
        for name, weights_only in FORMATS.items()
    ]
    saves.append(lastgood.ModelCheckpoint(directory / "one place", monitor="loss", resume=True))
    if sys.argv[3:] == ["files"]:
        saves = saves[:2]
    x = np.random.default_rng(0).normal(size=(4 * BATCHES, 8)).astype("float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(x, x[:, :1], batch_size=4, epochs=4, verbose=0, callbacks=[*saves, Killer(kill_at)])
    said = [str(each.message) for each in caught]
    print(json.dumps({"loss": history.history["loss"], "said": [text for text in said if "file system" in text]}))


main()
