"""Trainings whose storage fails where a test wants it to: what is told, and what is there afterwards."""

import errno
import os
import resource
import time

import numpy as np
import pytest

from helpers.kit import keras
from lastgood import Checkpointer, ModelCheckpoint, SaveError, open_run
from lastgood.testing import Crash, Fault, faults

pytestmark = pytest.mark.any_backend

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_at_one_save_costs_that_save_alone(make_model, fit, tmp_path, names):
    with faults(Fault("commit", FULL, nth=2)):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", on_error="warn")
    with pytest.warns(UserWarning, match=r"2\.keras': No space left on device"):
        fit(make_model(), [checkpoint], epochs=3)
    assert names(tmp_path) == ["1.keras", "3.keras"]
    assert open_run(tmp_path).verify() == []


@pytest.mark.parametrize(
    ("point", "background", "on_error"),
    [("stage", True, "raise"), ("write", True, "warn"), ("commit", True, "raise"), ("commit", False, "warn")],
)
def test_a_save_that_something_other_than_an_exception_ends_is_not_told_as_finished(
    make_model, fit, tmp_path, names, capsys, point, background, on_error
):
    """Such as a panic of a library in Rust, in the thread that writes."""
    with faults(Fault(point, Crash(), nth=2)):
        checkpoint = ModelCheckpoint(
            tmp_path / "{epoch}.keras",
            monitor="loss",
            save_best_only=True,
            background=background,
            on_error=on_error,
            verbose=1,
        )
    losses = []
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    with pytest.raises(Crash):
        fit(make_model(), [seen, checkpoint], epochs=8)
    assert names(tmp_path) == ["1.keras"]
    assert "2.keras" not in capsys.readouterr().out.replace("saving model to " + str(tmp_path / "2.keras"), "", 1)
    assert checkpoint.best == losses[0]


def test_a_reply_that_is_lost_is_told_and_the_checkpoint_is_whole(make_model, fit, tmp_path, names):
    with faults(Fault("reply", TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", save_best_only=True)
    with pytest.raises(SaveError, match="timed out"):
        fit(make_model(), [checkpoint], epochs=2)
    assert checkpoint.best is None  # nobody has heard of it
    assert names(tmp_path)[0] == "1.keras"
    assert open_run(tmp_path).verify() == []


def test_what_cannot_be_deleted_is_told_and_deleted_behind_the_next_save(make_model, fit, tmp_path, caplog):
    with faults(Fault("discard", OSError(errno.EIO, os.strerror(errno.EIO)))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", keep_last=1)
    fit(make_model(), [checkpoint], epochs=3)
    assert "Could not prune the run" in caplog.text
    assert [each.epoch for each in checkpoint.run.checkpoints] == [3]


def test_training_goes_on_beside_a_disk_that_takes_its_time(make_model, fit, tmp_path):
    with faults(Fault("commit", lambda: time.sleep(0.5))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=4)
    ended = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ended.append(time.monotonic()))
    fit(make_model(), [checkpoint, watch], epochs=1)
    assert ended[6] - ended[4] < 0.4
    assert len(checkpoint.stats) == 2


def test_a_loop_of_ones_own_hears_of_it_too(make_model, tmp_path):
    model = make_model()
    with faults(Fault("commit", FULL)):
        checkpointer = Checkpointer(tmp_path / "{step}.weights.h5")
    checkpointer.save(model, step=1)
    with pytest.raises(SaveError, match="No space left"):
        checkpointer.wait()
    checkpointer.save(model, step=2)
    checkpointer.wait()
    assert np.all([each.step == 2 for each in checkpointer.run.checkpoints])
    assert len(checkpointer.run.checkpoints) == 1


@keras.saving.register_keras_serializable("lastgood_test_faults")
class Complex(keras.layers.Layer):
    """Stores complex numbers, for which lastgood knows no place: stock Keras writes the file."""

    def save_own_variables(self, store):
        store["complex"] = np.array([1j], "complex64")

    def load_own_variables(self, store):
        assert store["complex"][0] == 1j

    def call(self, x):
        return x


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ""])
def test_where_stock_keras_writes_and_hdf5_cannot_finish_there_is_no_half_a_file(fit, tmp_path, names, ending):
    """HDF5 on a full disk ended the training, or left a file that lacked its last bytes: now it writes to memory."""
    layers = [keras.layers.Dense(40, name="a"), Complex(name="complex"), keras.layers.Dense(1, name="b")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse")
    weights_only = ending == ".weights.h5"
    fit(model, [ModelCheckpoint(tmp_path / f"whole{ending}", save_weights_only=weights_only)])
    size = 20_000  # bytes, which the largest file of each has about
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(0, size, size // 60):  # Python has a write beyond it be an error, and no signal
        checkpoint = ModelCheckpoint(tmp_path / f"{limit}{ending}", save_weights_only=weights_only, background=False)
        checkpoint.set_model(model)
        checkpoint.on_train_begin()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(SaveError):
                checkpoint.on_epoch_end(0, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [name for name in names(tmp_path) if not name.startswith(".lastgood")] == [f"whole{ending}"]
