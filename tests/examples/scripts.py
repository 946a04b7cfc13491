"""Runs the examples as scripts, on small data, and kills them."""

import importlib.util
import json
import os
from pathlib import Path

import h5py
import numpy as np

from helpers import children
from helpers.kit import keras, to_numpy

EXAMPLES = Path(__file__).parents[2] / "examples"
BACKEND = keras.backend.backend()
_PRELOAD = "sklearn.datasets sklearn.model_selection keras_tuner"

# Gives the example fewer images and other constants, and kills it after the save with the given number.
_CHILD = """
import importlib, json, os, signal, sys
import sklearn.datasets
from lastgood.testing import Fault, faults

name, arguments, changes, killed_at = json.loads(sys.argv[1])
images = changes.pop("IMAGES", None)
if images:
    whole = sklearn.datasets.load_digits()
    few = type(whole)(images=whole.images[:images], target=whole.target[:images])
    sklearn.datasets.load_digits = lambda: few
sys.path.insert(0, sys.argv[2])
example = importlib.import_module(name)
for constant, value in changes.items():
    assert hasattr(example, constant), constant
    setattr(example, constant, value)
saves = iter(range(1, 1000))
def saved():
    if next(saves) == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
with faults(Fault("reply", saved, nth=None)):
    example.main(arguments)
"""


def run(name, directory, *arguments, killed_at=None, **changes):
    """Run an example to its end, or kill it after a number of saves; return what it printed."""
    given = ["--directory", str(directory), *map(str, arguments)]
    # When other tests run at the same time, threads of torch would mostly wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LASTGOOD_PRELOAD": _PRELOAD}
    task = json.dumps([name, given, changes, killed_at])
    done = children.run(["-c", _CHILD, task, EXAMPLES], cwd=directory.parent, env=environment)
    assert done.returncode == (-9 if killed_at else 0), done.stderr
    assert "UserWarning" not in done.stderr
    return done.stdout


def imported(name):
    """Return an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_same_model(one, other):
    """Check with stock Keras that two files hold the same weights and optimizer."""
    values = []
    for path in (one, other):
        model = keras.models.load_model(path)
        optimizer = getattr(getattr(model, "optimizer", None), "variables", [])  # the generator of a GAN has none
        values.append([np.array(to_numpy(each)) for each in [*model.weights, *optimizer]])
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_arrays(one, other):
    """Check that two files of weights hold the same arrays, apart from what lastgood adds."""
    found = []
    for path in (one, other):
        arrays = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, each, to=arrays: to.update({name: each}) if _is_array(name, each) else None)
            found.append({name: each[()] for name, each in arrays.items()})
    assert found[0].keys() == found[1].keys() != set()
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


def _is_array(name, item):
    return isinstance(item, h5py.Dataset) and not name.startswith("_lastgood")
