"""A training as on another system: DIRECTORY ENDING EPOCHS; it prints its result, and what it used of that system."""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

from helpers import elsewhere
from lastgood import ModelCheckpoint, open_run

directory, ending, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])


def say(**values):
    print(json.dumps(values), flush=True)


class Fate(keras.callbacks.Callback):
    """What happens to the training at an epoch: it is killed, or another program opens the first checkpoint."""

    def on_epoch_begin(self, epoch, logs=None):
        say(epoch=epoch)
        if epoch == int(os.environ.get("KILL_AT", "-1")):
            os._exit(9)
        if epoch == int(os.environ.get("OPEN_AT", "-1")):
            self.opened = Path(directory, f"01{ending}").open("rb")  # noqa: SIM115 - it stays open


keras.utils.set_random_seed(1)
model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(16), keras.layers.Dropout(0.2)])
model.compile("adam", "mse")
x, y = np.random.default_rng(0).normal(size=(2, 64, 16)).astype("float32")
checkpoint = ModelCheckpoint(
    f"{directory}/{{epoch:02d}}{ending}", save_weights_only=ending != ".keras", keep_last=2, resume=True
)
model.fit(x[:, :8], y, epochs=epochs, batch_size=8, verbose=0, callbacks=[Fate(), checkpoint])
say(
    weights=[weight.tolist() for weight in model.get_weights()],
    checkpoints=[Path(each.path).name for each in open_run(directory).checkpoints],
    used=elsewhere.seen,
)
