"""Fixtures of the tests on Keras: a small model, its data, a silent ``fit``, and stock Keras to load checkpoints."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers import children
from lastgood import ArgumentError

with warnings.catch_warnings():  # the backends' own warnings at import do not matter here
    warnings.simplefilter("ignore")
    from helpers.kit import TF_KERAS, keras

    if not TF_KERAS:
        keras.ops.zeros((1,))

TESTS = Path(__file__).parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip tests that save weights to a directory if this release of Keras cannot load them, and lastgood refuses."""
    try:
        return (yield)
    except ArgumentError as error:
        if "cannot load weights from a directory" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture
def make_model():
    """Return a function that makes a small compiled classifier of two classes."""

    def make(metrics=("accuracy",), **compile_options):
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, activation="sigmoid", name="b")],
            name="small",
        )
        model.compile(optimizer="adam", loss="binary_crossentropy", metrics=list(metrics), **compile_options)
        return model

    return make


@pytest.fixture
def data():
    """40 rows of 4 features, and their classes."""
    x = np.random.default_rng(3).normal(size=(40, 4)).astype("float32")
    return x, (x.sum(axis=1, keepdims=True) > 0).astype("float32")


@pytest.fixture
def fit(data):
    """Fit a model silently on the data, 10 batches an epoch."""

    def run(model, callbacks, epochs=1, validate=False, **options):
        x, y = data
        if validate:
            options["validation_data"] = (x, y)
        return model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=callbacks, **options)

    return run


@pytest.fixture
def names():
    """List the names in a directory, including hidden ones."""

    def listing(directory):
        return sorted(path.name for path in Path(directory).iterdir())

    return listing


@pytest.fixture(scope="session")
def load_in_stock(tmp_path_factory):
    """Load checkpoints with stock Keras in a separate process; return the arrays of each, or its error."""

    def load(jobs):
        tmp_path = tmp_path_factory.mktemp("stock")
        results = [str(tmp_path / f"r{i}.npz") for i in range(len(jobs))]
        jobs = [{"path": str(p), "builder": b, "result": r} for (p, b), r in zip(jobs, results, strict=True)]
        loader = TESTS / "helpers" / "stock_loader.py"
        done = children.run(["-W", "ignore", loader], input=json.dumps(jobs), timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        return [_result(Path(result)) for result in results]

    return load


def _result(path):
    error = Path(f"{path}.error")
    if error.exists():
        return error.read_text()
    with np.load(path) as file:
        return dict(file)
