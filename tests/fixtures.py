"""What the tests on Keras 3 and on tf_keras have in common: a small model, its data, and a silent ``fit``."""

from pathlib import Path

import numpy as np
import pytest

from kit import keras


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture
def make_model():
    """Make a small classifier of two classes, compiled."""

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
    """40 rows of 4 features, and their class."""
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
    """List what lies in a directory, hidden files too."""

    def listing(directory):
        return sorted(path.name for path in Path(directory).iterdir())

    return listing
