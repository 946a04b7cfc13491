"""Restarts with another Keras release than the one that saved, or with one that was never tested."""

import warnings

import numpy as np
import pytest

from helpers.crashing import TrainedYet
from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint
from lastgood._keras.releases import NEWEST, release

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.skipif(TF_KERAS, reason="tf_keras 2 gets no new releases"),
]
X, Y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def train(path, epochs):
    """Train with resume=True; return the warnings about Keras, all of which must come before training."""
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trained = TrainedYet(told)
        model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[trained, ModelCheckpoint(path, resume=True)])
    found = [str(each.message) for each in told if "Keras" in str(each.message)]
    assert found == [text for text in trained.before if "Keras" in text]
    return found


def as_release(monkeypatch, version):
    """Make lastgood see the installed Keras as another release."""
    from lastgood._keras.keras3 import Keras3Model

    monkeypatch.setattr(Keras3Model, "version", staticmethod(lambda: version))


def test_a_release_is_identified_by_its_first_two_numbers():
    assert release("3.15.1") == (3, 15)
    assert release("3.16.0.dev2026102704") == (3, 16)
    assert release("unknown") == ()


def test_the_installed_keras_release_was_tested():
    assert release(keras.__version__) <= NEWEST


def test_a_keras_release_newer_than_the_tested_ones_warns_before_training(tmp_path, monkeypatch):
    as_release(monkeypatch, "3.99.0")
    (told,) = train(tmp_path / "{epoch}.keras", 1)
    assert "Keras 3.99.0 is newer than 3.16" in told
    assert "verify_resume" in told


def test_resuming_a_run_with_another_keras_release_warns_before_training(tmp_path, monkeypatch):
    as_release(monkeypatch, "3.14.0")
    assert train(tmp_path / "{epoch}.keras", 1) == []
    as_release(monkeypatch, "3.14.1")
    assert train(tmp_path / "{epoch}.keras", 2) == []
    as_release(monkeypatch, "3.15.0")
    (told,) = train(tmp_path / "{epoch}.keras", 3)
    assert "The run was saved with Keras 3.14.1, and this is 3.15.0" in told
