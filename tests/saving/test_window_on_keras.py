"""Saves of a state for which there is no room in memory: a window moves over the file, and is written part by part."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lastgood
from helpers.kit import keras, to_numpy
from lastgood._snapshot import staging, state_copy
from lastgood._storage.systems import SYSTEM

pytestmark = pytest.mark.any_backend
MB = 1 << 20
FORMATS = [".keras", ".weights.h5", ""]


def build():
    """Return a model with 128 MB of state: two large tensors, and small ones, one of them in bfloat16."""
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8192),
        keras.layers.Dense(2048, name="large"),
        keras.layers.Dense(3),
        keras.layers.Dense(1, dtype="bfloat16"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(1e-4, momentum=0.9), "mse")
    return model


def train(model, filepath, **options):
    """Train for two steps, each of which is saved."""
    x = np.linspace(0, 1, 32, dtype="float32").reshape(8, 4)
    checkpoint = lastgood.ModelCheckpoint(filepath, **options)
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[checkpoint])
    return checkpoint


@pytest.fixture
def dropped(monkeypatch):
    """Pretend that there is no memory left; return a list of the places in the file that saves give back."""
    places = []

    def drop(start, stop, real=staging.drop):
        places.append((start, stop))
        real(start, stop)

    monkeypatch.setattr(SYSTEM, "free_memory", lambda: 0)
    monkeypatch.setattr(state_copy, "WINDOW", 40 * MB)
    monkeypatch.setattr(staging, "drop", drop)
    monkeypatch.setattr(staging, "_buffer", None)
    return places


def weights_of(model):
    return [to_numpy(each).astype("float64") for each in model.weights]


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("ending", FORMATS)
def test_a_state_without_room_for_a_copy_is_saved_part_by_part(tmp_path, dropped, ending, background):
    model = build()
    options = {"save_weights_only": ending == ".weights.h5", "background": background}
    with pytest.warns(UserWarning, match="no room in memory for a copy of the model's state") as told:
        checkpoint = train(model, tmp_path / f"{{epoch}}{ending}", **options)
    assert len([each for each in told if "no room" in str(each.message)]) == 1
    assert sum(stop - start for start, stop in dropped) > 2 * 120 * MB
    assert max(stop - start for start, stop in dropped) <= 16 * MB
    checkpoint.wait()
    assert len(checkpoint.run.checkpoints) == 2
    assert checkpoint.run.verify() == []
    stock = build()
    stock.optimizer.build(stock.trainable_variables)
    if ending == ".keras":
        stock = keras.models.load_model(tmp_path / "2.keras")
    elif ending:
        stock.load_weights(tmp_path / "2.weights.h5")
    else:
        lastgood.load_weights(stock, tmp_path / "2")
    for one, other in zip(weights_of(model), weights_of(stock), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_disk_error_in_the_middle_ends_a_save_that_goes_part_by_part(tmp_path, dropped, monkeypatch):
    def write(descriptor, content, offset, real=SYSTEM.write):
        if offset > 40 * MB:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, content, offset)

    monkeypatch.setattr(SYSTEM, "write", write)
    with pytest.warns(UserWarning, match="no room in memory"), pytest.raises(lastgood.SaveError, match="Input/output"):
        train(build(), tmp_path / "{epoch}.keras")
    assert not list(tmp_path.glob("*.keras"))


# Trains a model of 900 MB, nearly all of it frozen, in the control group whose files are given.
LIMITED = """
import os, pathlib, sys
import keras
import numpy as np
import lastgood
processes, peak, filepath = sys.argv[1:]
layers = [keras.Input((4,)), keras.layers.Dense(15000), keras.layers.Dense(15000), keras.layers.Dense(1)]
model = keras.Sequential(layers)
for layer in model.layers[:-1]:
    layer.trainable = False
model.compile(keras.optimizers.SGD(1e-4), "mse")
x = np.zeros((4, 4), "float32")
model.train_on_batch(x, x[:, :1])
pathlib.Path(processes).write_text(str(os.getpid()))
model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[lastgood.ModelCheckpoint(filepath)])
print("peak", int(pathlib.Path(peak).read_text()))
"""


@pytest.fixture
def limited():
    """The files of a control group that may take 500 MB: for its processes, and for the most that they took."""
    first = Path("/sys/fs/cgroup/memory")
    root, names = (
        (first, ("memory.limit_in_bytes", "memory.max_usage_in_bytes"))
        if first.is_dir()
        else (first.parent, ("memory.max", "memory.peak"))
    )
    group = root / f"lastgood-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / names[0]).write_text(str(500 * MB))
    except OSError as error:
        pytest.skip(f"this process may not limit memory: {error}")
    yield group / "cgroup.procs", group / names[1]
    group.rmdir()


@pytest.mark.long
def test_a_training_whose_memory_is_limited_saves_a_state_larger_than_what_is_left(tmp_path, limited):
    path = tmp_path / "{epoch}.keras"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *limited, path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no room in memory" in done.stderr
    assert int(done.stdout.split()[-1]) <= 500 * MB
    assert lastgood.open_run(tmp_path).verify() == []
    assert keras.models.load_model(tmp_path / "2.keras").count_params() > 225_000_000
