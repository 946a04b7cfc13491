"""Trainings whose storage fails where planned: what is reported, and what exists afterwards."""

import errno
import os
import resource
import threading

import numpy as np
import pytest

from helpers.kit import keras
from lastgood import Checkpointer, ModelCheckpoint, SaveError, open_run
from lastgood.testing import Crash, Fault, faults

pytestmark = pytest.mark.any_backend

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_one_save_costs_only_that_save(make_model, fit, tmp_path, names):
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
def test_a_save_ended_by_a_base_exception_is_not_reported_as_finished(
    make_model, fit, tmp_path, names, capsys, point, background, on_error
):
    """For example, by a panic of a Rust library in the thread that writes."""
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


def test_a_lost_reply_raises_and_the_checkpoint_is_complete(make_model, fit, tmp_path, names):
    with faults(Fault("reply", TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", save_best_only=True)
    with pytest.raises(SaveError, match="timed out"):
        fit(make_model(), [checkpoint], epochs=2)
    assert checkpoint.best is None  # the save was not acknowledged
    assert names(tmp_path)[0] == "1.keras"
    assert open_run(tmp_path).verify() == []


def test_a_failed_deletion_is_logged_and_retried_after_the_next_save(make_model, fit, tmp_path, caplog):
    with faults(Fault("discard", OSError(errno.EIO, os.strerror(errno.EIO)))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", keep_last=1)
    fit(make_model(), [checkpoint], epochs=3)
    assert "Could not prune the run" in caplog.text
    assert [each.epoch for each in checkpoint.run.checkpoints] == [3]


def test_training_continues_while_a_slow_disk_commits(make_model, fit, tmp_path):
    """The first save, at batch 4, commits when batch 7 has ended."""
    ended, in_time = threading.Event(), []
    with faults(Fault("commit", lambda: in_time.append(ended.wait(10)))):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=4)
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch == 6 and ended.set())
    watch.async_safe = True  # it does not look at the file, so training need not wait for it
    fit(make_model(), [checkpoint, watch], epochs=1)
    assert in_time == [True]
    assert len(checkpoint.stats) == 2


def test_a_failed_save_raises_in_a_custom_loop_too(make_model, tmp_path):
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
    """Stores complex numbers, which lastgood cannot lay out: stock Keras writes the file."""

    def save_own_variables(self, store):
        store["complex"] = np.array([1j], "complex64")

    def load_own_variables(self, store):
        assert store["complex"][0] == 1j

    def call(self, x):
        return x


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ""])
def test_no_partial_file_is_left_where_stock_keras_writes_and_hdf5_cannot_finish(fit, tmp_path, names, ending):
    """On a full disk, HDF5 ended the training or left a truncated file, so it writes to memory now."""
    layers = [keras.layers.Dense(40, name="a"), Complex(name="complex"), keras.layers.Dense(1, name="b")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse")
    weights_only = ending == ".weights.h5"
    fit(model, [ModelCheckpoint(tmp_path / f"whole{ending}", save_weights_only=weights_only)])
    size = 20_000  # bytes: about the size of the largest file of each format
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(0, size, size // 60):  # in Python, a write beyond it is an error, not a signal
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
