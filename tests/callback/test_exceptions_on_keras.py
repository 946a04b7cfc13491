"""An exception leaves ``fit()``: what had been announced is there and loads, and nothing is written behind it."""

import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint
from lastgood.testing import Fault, faults

X, Y = np.ones((16, 4), "float32"), np.ones((16, 1), "float32")


class PrunedError(Exception):
    """What a search raises to end a trial."""


@pytest.fixture(autouse=True)
def _slow_disk():
    with faults(Fault("commit", lambda: time.sleep(0.3), nth=None)):
        yield


class Raises(keras.callbacks.Callback):
    """Raises in a hook, in the second epoch; says that it looks at no file."""

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
    """Fails in a step of training, or of a validation, once it is told to."""

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


class Tells(keras.callbacks.Callback):
    """Tells the model, or the data, when the first epoch has ended."""

    async_safe = True

    def __init__(self, tell):
        super().__init__()
        self.tell = tell

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.tell()


class Data(keras.utils.Sequence if TF_KERAS else keras.utils.PyDataset):
    """Batches that fail once they are told to."""

    fails = False

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if self.fails:
            raise PrunedError
        return X[:4], Y[:4]


@contextmanager
def leaving():
    """Expect an exception, whichever the backend makes of it."""
    try:
        yield
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - TensorFlow wraps what the data raise
        return
    pytest.fail("no exception has left fit()")


def train(directory, cause):
    """Train until an exception leaves ``fit``; return it."""
    model, data = model_that_breaks(), Data()
    checkpoint = ModelCheckpoint(directory / "{epoch}.weights.h5", save_weights_only=True)
    causes = {
        "step": Tells(lambda: setattr(model, "fails", "step")),
        "validation": Tells(lambda: setattr(model, "fails", "validation")),
        "data": Tells(lambda: setattr(data, "fails", True)),
        "interrupt": Raises("on_epoch_begin", KeyboardInterrupt()),
    }
    cause = causes.get(cause) or Raises(cause, PrunedError())
    options = {} if TF_KERAS else {"shuffle": False}
    with leaving():
        model.fit(data, epochs=3, verbose=0, callbacks=[checkpoint, cause], validation_data=(X, Y), **options)
    return model, checkpoint


HOOKS = ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end"]


@pytest.mark.parametrize("cause", ["step", "validation", "data", "interrupt", *HOOKS])
def test_what_was_announced_is_there_when_the_except_block_runs(tmp_path, cause):
    train(tmp_path, cause)
    # By now the caller's except block would run. Nobody waits for anything.
    saved = sorted(path.name for path in tmp_path.iterdir())
    # Behind the checkpoint in its hook something raised: the second epoch's save had been announced, too.
    assert saved == ["1.weights.h5", "2.weights.h5"][: 2 if cause == "on_epoch_end" else 1]
    for name in saved:
        loaded = Breaks()
        loaded.predict(X[:1], verbose=0)
        loaded.load_weights(tmp_path / name)


@pytest.mark.parametrize("cause", ["step", "on_epoch_begin"])
def test_a_temporary_directory_around_the_training_goes_and_stays_away(cause):
    with tempfile.TemporaryDirectory() as name:
        train(Path(name) / "run", cause)
    assert not Path(name).exists()
    assert not [each for each in threading.enumerate() if each.name.startswith("lastgood-writer")]
    time.sleep(0.5)
    assert not Path(name).exists()


@pytest.mark.parametrize("cause", ["step", "interrupt"])
def test_the_next_fit_of_the_same_callback_works(tmp_path, cause):
    _, checkpoint = train(tmp_path, cause)
    model = model_that_breaks()  # on jax, Keras leaves the one that failed in a step without its weights
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[checkpoint], initial_epoch=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]


def test_another_process_may_take_the_files_over_after_an_exception(tmp_path):
    """The claim of a run that is continued ends with the training that an exception has ended."""
    model = model_that_breaks()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, resume=True, keep_last=1)
    stop = Tells(lambda: setattr(model, "fails", "step"))
    with leaving():
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[checkpoint, stop])
    again = model_that_breaks()
    other = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, resume=True, keep_last=1)
    again.fit(X, Y, epochs=2, verbose=0, callbacks=[other])
    assert (tmp_path / "2.weights.h5").exists()


def test_a_save_that_failed_is_told_beside_the_exception_that_ends_training(tmp_path):
    model = model_that_breaks()
    stop = Raises("on_epoch_begin", PrunedError())

    def full():
        stop.raised.wait(60)
        raise OSError(28, "No space left on device")

    with faults(Fault("commit", full)):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.warns(UserWarning, match=r"1\.weights\.h5.*No space left"), pytest.raises(PrunedError):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[checkpoint, stop])
