"""A run for the tests of the commands, trained once: with real saves, a pin, pruning and a restart."""

import os
import shutil
from functools import partial

import keras
import numpy as np
import pytest

import lastgood
from helpers import children

EPOCHS = 6
LOSSES = (0.9, 0.5, 0.7, 0.4, 0.6, 0.8)


class Known(keras.callbacks.Callback):
    """Logs known losses, so that the output can be compared."""

    def __init__(self, *, faster=False):
        super().__init__()
        self.faster = faster

    def on_epoch_end(self, epoch, logs=None):
        logs.clear()
        logs.update({"loss": LOSSES[epoch] / 2, "val_loss": LOSSES[epoch] / (2 if self.faster else 1)})


def train(directory, epochs, *, faster=False):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, "relu", name="hidden"), keras.layers.Dense(1, "sigmoid", name="out")]
    )
    model.compile(keras.optimizers.Adam(0.25 if faster else 0.125), "binary_crossentropy")
    keep_last = 1 if faster else 3
    checkpoint = lastgood.ModelCheckpoint(
        directory / "{epoch:02d}.keras", keep_last=keep_last, keep_best=2, resume=True
    )
    data = {"x": x, "y": y, "validation_data": (x, y)}
    model.fit(**data, batch_size=4, epochs=epochs, verbose=0, callbacks=[Known(faster=faster), checkpoint])
    return model


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of six epochs, started twice. Tests must not change it."""
    directory = tmp_path_factory.mktemp("runs") / "digits"
    train(directory, 4)
    lastgood.open_run(directory).pin("02.keras")
    train(directory, EPOCHS)
    return directory


@pytest.fixture(scope="session")
def faster(tmp_path_factory):
    """Another run, of four epochs, with other settings. Tests must not change it."""
    directory = tmp_path_factory.mktemp("runs") / "faster"
    train(directory, 4, faster=True)
    return directory


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, with its file times, in the working directory of the commands."""
    copy = tmp_path / "digits"
    shutil.copytree(trained, copy)
    return copy


@pytest.fixture
def command(tmp_path):
    """Run the command in the test's directory; return what it printed."""
    return partial(command_in, tmp_path)


def command_in(directory, *arguments, status=0):
    """Run the command in a directory; return what it printed."""
    imported = "lastgood._cli.app h5py matplotlib.figure matplotlib.backends.backend_agg jinja2"
    given = {"COLUMNS": "200", "KERAS_BACKEND": "none of them", "LASTGOOD_PARENT": imported}
    environment = {**os.environ, **given}
    done = children.run(["-m", "lastgood", *arguments], cwd=directory, env=environment, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr
