"""Makes the corpus: runs of an older lastgood that ``test_older_checkpoints.py`` continues.

Those that are here were made by lastgood 0.1.0, at commit 5968854, with the versions that ``expected.json`` names. Run
it again only for a new corpus, of the version that makes it: the checkpoints of 0.1.0 have to stay readable, so keep
them as well. Run it once for each generation of Keras, with the source of the older version first on the path:

    git worktree add ../lastgood-0.1.0 5968854
    PYTHONPATH=../lastgood-0.1.0/src KERAS_BACKEND=jax .venv/bin/python tests/scenarios/corpus/make.py
    PYTHONPATH=../lastgood-0.1.0/src KERAS_BACKEND=tensorflow TF_USE_LEGACY_KERAS=1 .venv/bin/python \
tests/scenarios/corpus/make.py

For each format, a small training is stopped in the middle of its second epoch, and its directory is packed into
``GENERATION-NAME.tar.xz``. ``expected.json`` records what the older version listed there, and the state of the same
training at each step and at its end, without a stop and without lastgood.
The archives contain no paths of a machine.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import tarfile
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
import lastgood
from helpers.kit import TF_KERAS, keras, to_numpy

HERE = Path(__file__).resolve().parent
GENERATION = "tf_keras" if TF_KERAS else "jax"
BATCHES = 4  # an epoch
EPOCHS = 2
X = np.random.default_rng(3).normal(size=(4 * BATCHES, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Case:
    """A format, and the way in which its run is saved.

    Attributes:
        ending: How its paths end.
        weights_only: Whether it is one of weights alone.
        save_freq: The number of batches between saves.
        options: Further arguments of the callback.
    """

    ending: str
    weights_only: bool = False
    save_freq: int = 3
    options: dict[str, object] = field(default_factory=dict)

    def callback(self, directory):
        """Return a callback that resumes the run in ``directory``, or begins it."""
        return lastgood.ModelCheckpoint(
            Path(directory) / f"{{epoch}}-{{batch}}{self.ending}",
            save_weights_only=self.weights_only,
            save_freq=self.save_freq,
            resume=True,
            **self.options,
        )

    @property
    def retains(self):
        """Whether the run deletes checkpoints; then one is pinned, and the latest has a late metric."""
        return "keep_last" in self.options


_KERAS_3 = {
    "keras": Case(".keras", save_freq=1, options={"keep_last": 2, "monitor": "loss"}),
    "weights.h5": Case(".weights.h5", weights_only=True),
    "h5": Case(".h5"),
    "h5-weights": Case(".h5", weights_only=True),
    "directory": Case(""),
    "orbax": Case("", weights_only=True),
}
_TF_KERAS = {
    "keras": Case(".keras"),
    "weights.h5": Case(".weights.h5", weights_only=True),
    "h5": Case(".h5"),
    "h5-weights": Case(".h5", weights_only=True),
    "saved-model": Case(""),
    "tf-checkpoint": Case("", weights_only=True),
}
CASES = _TF_KERAS if TF_KERAS else _KERAS_3


class StopError(Exception):
    """Ends a training in the middle of an epoch."""


class Stop(keras.callbacks.Callback):
    """Ends training after the last batch but one."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == BATCHES * EPOCHS - 1:
            raise StopError


class PinSecond(keras.callbacks.Callback):
    """Pins the second checkpoint, which retention would delete, while the first is the best."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 2:
            self.checkpoint.wait()
            self.checkpoint.run.pin(self.checkpoint.run.latest)


class Watch(keras.callbacks.Callback):
    """Records the weights at each step, and the batches that its hook is called for."""

    def __init__(self):
        super().__init__()
        self.weights, self.batches = {}, []

    def on_train_batch_end(self, batch, logs=None):
        model = self.model  # on jax this brings the state into the model
        self.weights[int(model.optimizer.iterations)] = as_hex(model.weights)
        self.batches.append(batch)


def build():
    """Make the model, with the same names each time: an Orbax directory identifies variables by name."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(3, activation="relu", name="first"),
        keras.layers.Dropout(0.2, name="dropout"),
        keras.layers.Dense(1, name="second"),
    ]
    model = keras.Sequential(layers, name="small")
    model.compile(keras.optimizers.Adam(0.01, name="adam"), "mse")
    return model


def train(*callbacks, other=False):
    """Train, or resume; ``other`` is for a restart, with other initial weights, so that starting over is visible."""
    model = build()
    if other:
        model.set_weights([weight + 1 for weight in model.get_weights()])
    keras.utils.set_random_seed(6)
    history = model.fit(
        X, Y, batch_size=len(X) // BATCHES, epochs=EPOCHS, shuffle=True, verbose=0, callbacks=[*callbacks]
    )
    return model, history


def as_hex(variables):
    """Return the values of variables, each as its bytes in hexadecimal."""
    return [np.ascontiguousarray(to_numpy(variable)).tobytes().hex() for variable in variables]


def end(model, history):
    """Return the final state of a training, as plain values."""
    variables = [*model.variables, *model.optimizer.variables]
    return {
        "dtypes": [str(to_numpy(variable).dtype) for variable in variables],
        "values": as_hex(variables),
        "history": {name: [float(value) for value in values] for name, values in history.history.items()},
    }


def unpack(name, directory):
    """Unpack the run of a format; return its directory."""
    with tarfile.open(HERE / f"{GENERATION}-{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return Path(directory) / name


def _make(name, case):
    """Make the run of a format in the working directory, and pack it; return what the older version lists."""
    # Orbax takes no relative path, which 0.1.0 does not handle, and records the path that it is given.
    checkpoint = case.callback(Path("/proc/self/cwd", name) if name == "orbax" else name)
    others = [PinSecond(checkpoint)] if case.retains else []
    try:
        train(checkpoint, *others, Stop())
    except StopError:
        checkpoint.wait()
    run = lastgood.open_run(name)
    if case.retains:
        run.attach(run.latest, {"late": 0.25})
    problems = run.verify()
    if problems:
        raise AssertionError(f"{name} is damaged from the beginning: {problems}")
    with tarfile.open(HERE / f"{GENERATION}-{name}.tar.xz", "w:xz", preset=9) as archive:
        archive.add(name, filter=_to_keep)
    return run.listing()


def _to_keep(member):
    """Leave out of an archive the owners of the files, and the locks, which name the machine."""
    if member.name.endswith(".lock"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main():
    argparse.ArgumentParser(description="Make the corpus for one generation of Keras.").parse_args()
    warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
    print(f"lastgood {lastgood.__version__} of {lastgood.__file__}, on {GENERATION}")
    names = ("lastgood", "numpy", *(("tf_keras", "tensorflow") if TF_KERAS else ("keras", "jax", "orbax-checkpoint")))
    watch = Watch()
    made = {
        "versions": {name: importlib.metadata.version(name) for name in names},
        "end": end(*train(watch)),
        "weights": watch.weights,
    }
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # so that paths need not be absolute
        try:
            made["listings"] = {name: _make(name, case) for name, case in CASES.items()}
        finally:
            os.chdir(before)
    path = HERE / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**expected, GENERATION: made}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
