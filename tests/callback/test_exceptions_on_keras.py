"""After an exception leaves ``fit``, every save that had started is complete and loads, and nothing more is written."""

import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from helpers.claiming import is_claimed
from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint
from lastgood.testing import Fault, faults

X, Y = np.ones((16, 4), "float32"), np.ones((16, 1), "float32")


class PrunedError(Exception):
    """The exception that a tuner raises to end a trial."""


@pytest.fixture(autouse=True)
def _slow_disk():
    with faults(Fault("commit", lambda: time.sleep(0.3), nth=None)):
        yield


class Raises(keras.callbacks.Callback):
    """Raises in a hook of the second epoch; declares with ``async_safe`` that it reads no file."""

    async_safe = True

    def __init__(self, hook, error):
        super().__init__()
        self.epochs, self.error = 0, error
        self.raised = threading.Event()
        inner = getattr(self, hook)

        def raising(*args, **kwargs):
            if self.epochs >= 1:
                self.raised.set()
                raise self.error
            inner(*args, **kwargs)

        setattr(self, hook, raising)
        end = self.on_epoch_end

        def count(*args, **kwargs):
            end(*args, **kwargs)
            self.epochs += 1

        self.on_epoch_end = count


class Breaks(keras.Model):
    """Fails in a training or validation step once ``fails`` is set."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.fails = None

    def call(self, x):
        return self.dense(x)

    def train_step(self, *args, **kwargs):
        if self.fails == "step":
            raise PrunedError
        return super().train_step(*args, **kwargs)

    def test_step(self, *args, **kwargs):
        if self.fails == "validation":
            raise PrunedError
        return super().test_step(*args, **kwargs)


def model_that_breaks():
    model = Breaks()
    model.compile("adam", "mse", run_eagerly=True)
    model.predict(X[:1], verbose=0)
    return model


class AtSecondEpoch(keras.callbacks.Callback):
    """Calls a function at the beginning of the second epoch."""

    async_safe = True

    def __init__(self, action):
        super().__init__()
        self.action = action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.action()


class Data(keras.utils.Sequence if TF_KERAS else keras.utils.PyDataset):
    """Batches that fail once ``fails`` is set."""

    fails = False

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if self.fails:
            raise PrunedError
        return X[:4], Y[:4]


@contextmanager
def exception_leaves_fit():
    """Expect an exception, of whichever type the backend raises."""
    try:
        yield
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - TensorFlow wraps exceptions from the data
        return
    pytest.fail("fit() raised no exception")


def train(directory, cause):
    """Train until an exception leaves ``fit``; return the model and the checkpoint callback."""
    model, data = model_that_breaks(), Data()
    checkpoint = ModelCheckpoint(directory / "{epoch}.weights.h5", save_weights_only=True)
    causes = {
        "step": AtSecondEpoch(lambda: setattr(model, "fails", "step")),
        "validation": AtSecondEpoch(lambda: setattr(model, "fails", "validation")),
        "data": AtSecondEpoch(lambda: setattr(data, "fails", True)),
        "interrupt": Raises("on_epoch_begin", KeyboardInterrupt()),
    }
    cause = causes.get(cause) or Raises(cause, PrunedError())
    options = {} if TF_KERAS else {"shuffle": False}
    with exception_leaves_fit():
        model.fit(data, epochs=3, verbose=0, callbacks=[checkpoint, cause], validation_data=(X, Y), **options)
    return model, checkpoint


HOOKS = ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end"]


@pytest.mark.parametrize("cause", ["step", "validation", "data", "interrupt", *HOOKS])
def test_saves_in_flight_are_complete_when_the_except_block_runs(tmp_path, cause):
    train(tmp_path, cause)
    # At this point the caller's except block would run; the test does not wait.
    saved = sorted(path.name for path in tmp_path.iterdir())
    # If a later callback raised in on_epoch_end, the save of the second epoch had started as well.
    assert saved == ["1.weights.h5", "2.weights.h5"][: 2 if cause == "on_epoch_end" else 1]
    for name in saved:
        loaded = Breaks()
        loaded.predict(X[:1], verbose=0)
        loaded.load_weights(tmp_path / name)


@pytest.mark.parametrize("cause", ["step", "on_epoch_begin"])
def test_a_temporary_directory_stays_deleted_after_an_exception(cause):
    with tempfile.TemporaryDirectory() as name:
        train(Path(name) / "run", cause)
    assert not Path(name).exists()
    assert not [each for each in threading.enumerate() if each.name.startswith("lastgood-writer")]
    time.sleep(0.5)
    assert not Path(name).exists()


@pytest.mark.parametrize("cause", ["step", "interrupt"])
def test_the_same_callback_works_in_the_next_fit_after_an_exception(tmp_path, cause):
    _, checkpoint = train(tmp_path, cause)
    model = model_that_breaks()  # on JAX, Keras leaves a model that failed in a step without weights
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[checkpoint], initial_epoch=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]


def test_another_process_can_claim_the_files_after_an_exception(tmp_path):
    """An exception that ends training also ends the claim on a resumed run."""
    model = model_that_breaks()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, resume=True, keep_last=1)
    claimed = []

    def stop():
        claimed.append(is_claimed(tmp_path, "{epoch}.weights.h5"))
        model.fails = "step"

    with exception_leaves_fit():
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[checkpoint, AtSecondEpoch(stop)])
    assert claimed == [True]
    assert not is_claimed(tmp_path, "{epoch}.weights.h5")
    again = model_that_breaks()
    other = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, resume=True, keep_last=1)
    again.fit(X, Y, epochs=2, verbose=0, callbacks=[other])
    assert (tmp_path / "2.weights.h5").exists()


def test_a_failed_save_warns_when_another_exception_ends_training(tmp_path):
    model = model_that_breaks()
    stop = Raises("on_epoch_begin", PrunedError())

    def full():
        stop.raised.wait(60)
        raise OSError(28, "No space left on device")

    with faults(Fault("commit", full)):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.warns(UserWarning, match=r"1\.weights\.h5.*No space left"), pytest.raises(PrunedError):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[checkpoint, stop])
