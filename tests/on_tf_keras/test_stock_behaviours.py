"""What tf_keras's own tests of ``ModelCheckpoint`` require, as numbered tests.

The cases of ``callbacks_test.py`` are 1 to 28, in their order there, and that of
``distribute/model_checkpoint_test.py`` is 29.
"""

import json
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from lastgood import ModelCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")


def best(path, **options):
    return ModelCheckpoint(path, save_best_only=True, **options)


@pytest.mark.parametrize(
    ("number", "options", "saved"),
    [
        (1, {"monitor": "val_loss", "mode": "auto"}, True),
        (2, {"monitor": "val_loss", "mode": "min"}, True),
        (3, {"monitor": "val_accuracy", "mode": "max"}, True),
        (4, {"monitor": "val_accuracy", "mode": "max", "save_best_only": True}, True),
        (12, {"monitor": "val_accuracy", "mode": "max", "save_best_only": True, "initial_value_threshold": -1}, True),
        (13, {"monitor": "val_loss", "mode": "auto", "save_best_only": True, "initial_value_threshold": None}, True),
        (14, {"monitor": "val_loss", "mode": "min", "save_best_only": True, "initial_value_threshold": 0}, False),
        (15, {"monitor": "val_loss", "mode": "auto", "save_best_only": True, "initial_value_threshold": 0}, False),
    ],
)
def test_01_to_04_and_12_to_15_the_monitored_value_decides_whether_to_save(
    fit, make_model, tmp_path, number, options, saved
):
    path = tmp_path / "subdir" / "checkpoint.h5"  # the directory is made
    fit(make_model(), [ModelCheckpoint(path, **options)], validate=True)
    assert path.exists() is saved


@pytest.mark.filterwarnings("ignore:ModelCheckpoint uses 'unknown'")  # warned of before training, too
def test_05_an_unknown_metric_saves_nothing(fit, make_model, tmp_path, names):
    with pytest.warns(UserWarning, match="Can save best model only with unknown available, skipping"):
        fit(make_model(), [best(tmp_path / "checkpoint.h5", monitor="unknown")])
    assert names(tmp_path) == []


def test_06_period_counts_epochs_and_an_unknown_mode_only_warns(fit, make_model, tmp_path, names):
    path = tmp_path / "checkpoint.{epoch:02d}.h5"
    with pytest.warns(DeprecationWarning, match="period"):
        checkpoint = ModelCheckpoint(path, period=2)
    fit(make_model(), [checkpoint], epochs=4)
    assert names(tmp_path) == ["checkpoint.02.h5", "checkpoint.04.h5"]
    with pytest.warns(UserWarning, match="mode 'unknown' is unknown"):
        ModelCheckpoint(path, mode="unknown")


def test_07_period_with_save_freq_epoch(fit, make_model, tmp_path, names):
    with pytest.warns(DeprecationWarning, match="period"):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch:02d}.h5", save_freq="epoch", period=5)
    fit(make_model(), [checkpoint], epochs=10)
    assert names(tmp_path) == ["05.h5", "10.h5"]


def test_08_an_integer_save_freq_ignores_the_period(fit, make_model, tmp_path, names):
    with pytest.warns(DeprecationWarning, match="period"):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch:02d}.h5", save_freq=30, period=100)
    fit(make_model(), [checkpoint], epochs=10)  # of 10 batches
    assert names(tmp_path) == ["03.h5", "06.h5", "09.h5"]


def test_09_save_freq_is_epoch_or_an_integer(tmp_path):
    with pytest.raises(ValueError, match="Unrecognized save_freq"):
        ModelCheckpoint(tmp_path / "m.h5", save_freq="invalid_save_freq")
    assert ModelCheckpoint(tmp_path / "m.h5", save_freq="epoch").save_freq == "epoch"
    assert ModelCheckpoint(tmp_path / "m.h5", save_freq=3).save_freq == 3


@pytest.mark.parametrize("name", ["m.h5", "m"])
def test_10_options_must_have_the_type_that_the_format_takes(fit, make_model, tmp_path, name):
    checkpoint, saved_model = tf.train.CheckpointOptions(), tf.saved_model.SaveOptions()
    with pytest.raises(TypeError, match=r"tf\.train\.CheckpointOptions"):
        ModelCheckpoint(tmp_path / name, save_weights_only=True, options=saved_model)
    with pytest.raises(TypeError, match=r"tf\.saved_model\.SaveOptions"):
        ModelCheckpoint(tmp_path / name, save_weights_only=False, options=checkpoint)
    fit(make_model(), [ModelCheckpoint(tmp_path / "a" / name, save_weights_only=True, options=checkpoint)])
    fit(make_model(), [ModelCheckpoint(tmp_path / "b" / name, save_weights_only=False, options=saved_model)])
    make_model().load_weights(str(tmp_path / "a" / name))
    assert tf_keras.models.load_model(tmp_path / "b" / name)


def test_11_the_batch_is_in_the_name(fit, make_model, tmp_path, names):
    fit(make_model(), [ModelCheckpoint(tmp_path / "{epoch:02d}-{batch:02d}.h5", save_freq=5)], epochs=2)
    assert names(tmp_path) == ["01-05.h5", "01-10.h5", "02-05.h5", "02-10.h5"]


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = tf_keras.layers.Dense(3, activation="relu")
        self.last = tf_keras.layers.Dense(1, activation="sigmoid")

    def call(self, x):
        return self.last(self.hidden(x))


def subclassed():
    model = Subclassed()
    model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["acc"])
    return model


def test_16_a_subclassed_model_becomes_a_saved_model(fit, tmp_path):
    fit(subclassed(), [ModelCheckpoint(tmp_path / "checkpoint")])
    assert (tmp_path / "checkpoint" / "saved_model.pb").exists()
    assert tf_keras.models.load_model(tmp_path / "checkpoint")


def test_17_a_subclassed_model_becomes_a_keras_file(fit, tmp_path):
    fit(subclassed(), [ModelCheckpoint(tmp_path / "checkpoint.keras")])
    assert (tmp_path / "checkpoint.keras").is_file()


class Bias(tf_keras.layers.Layer):
    """A single trainable number."""

    def build(self, shape):
        self.bias = self.add_weight("bias", (1,), initializer="zeros")

    def call(self, x):
        return x + self.bias


def bias_model():
    model = tf_keras.Sequential([tf_keras.Input((1,)), Bias()])
    model.compile(tf_keras.optimizers.legacy.SGD(0.1), "mae", metrics=["mae"])
    rows = tf.data.Dataset.from_tensor_slices((np.ones((16, 1), "float32"), np.zeros((16, 1), "float32")))
    return model, rows.batch(8, drop_remainder=True)


def three_epochs(path):
    """Train for three epochs with saves, and one more without; return (model, data, weights after the fourth)."""
    model, rows = bias_model()
    checkpoint = ModelCheckpoint(path, save_weights_only=True)
    model.fit(rows, epochs=3, callbacks=[checkpoint], verbose=0)
    assert checkpoint._get_most_recently_modified_file_matching_pattern(str(path)) == str(path).format(epoch=3)
    model.fit(rows, epochs=1, verbose=0)
    return model, rows, model.get_weights()[0].copy()


def restarting(path, weights_only):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ModelCheckpoint(path, save_weights_only=weights_only, load_weights_on_restart=True)


@pytest.mark.parametrize(("number", "weights_only"), [(18, True), (19, False)])
def test_18_and_19_weights_are_loaded_on_restart(tmp_path, number, weights_only):
    path = tmp_path / "checkpoint.epoch{epoch:02d}.h5"
    model, rows, after_four = three_epochs(path)
    checkpoint = restarting(path, weights_only)
    model.fit(rows, epochs=1, callbacks=[checkpoint], verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], after_four)
    assert checkpoint._get_most_recently_modified_file_matching_pattern(str(path)) == str(path).format(epoch=1)
    model.fit(rows, epochs=1, callbacks=[restarting(path, weights_only)], verbose=0)
    assert not np.allclose(model.get_weights()[0], after_four)


@pytest.mark.parametrize(("number", "weights_only"), [(20, True), (21, False)])
def test_20_and_21_weights_are_not_loaded_on_restart_unless_requested(tmp_path, number, weights_only):
    path = tmp_path / "checkpoint.epoch{epoch:02d}.h5"
    model, rows, after_four = three_epochs(path)
    model.fit(rows, epochs=1, callbacks=[ModelCheckpoint(path, save_weights_only=weights_only)], verbose=0)
    assert not np.allclose(model.get_weights()[0], after_four)


def test_22_a_file_that_exists_is_overwritten(tmp_path):
    path = tmp_path / "checkpoint.epoch{epoch:02d}.h5"
    model, rows, _ = three_epochs(path)
    checkpoint = ModelCheckpoint(path, save_weights_only=True)
    newest = checkpoint._get_most_recently_modified_file_matching_pattern
    model.load_weights(newest(str(path)))
    before = model.get_weights()[0].copy()
    model.fit(rows, epochs=1, callbacks=[checkpoint], verbose=0)
    model.load_weights(newest(str(path)))
    assert not np.allclose(model.get_weights()[0], before)


def test_23_it_works_with_tf_config_set(tmp_path, monkeypatch):
    cluster = {"cluster": {"worker": ["localhost:23333"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    model, rows = bias_model()
    model.fit(rows, callbacks=[ModelCheckpoint(tmp_path / "m.h5", save_weights_only=True)], verbose=0)
    assert (tmp_path / "m.h5").exists()


def test_24_a_directory_at_the_path_of_a_file_is_an_io_error(tmp_path):
    model, rows = bias_model()
    (tmp_path / "temp.h5").mkdir()
    with pytest.raises(IOError, match="Please specify a non-directory filepath for ModelCheckpoint"):
        model.fit(rows, callbacks=[ModelCheckpoint(tmp_path / "temp.h5")], verbose=0)


def test_25_a_keras_file_takes_no_options(tmp_path):
    with pytest.raises(ValueError, match="`options`"):
        ModelCheckpoint(tmp_path / "temp.keras", options=tf.saved_model.SaveOptions())


@pytest.mark.filterwarnings("ignore:ModelCheckpoint uses 'mape'")  # warned of before training, too
def test_26_a_placeholder_without_a_value_is_a_key_error(tmp_path):
    model, rows = bias_model()
    with pytest.raises(KeyError, match=r"Failed to format this callback filepath.*"):
        model.fit(rows, callbacks=[ModelCheckpoint(tmp_path / "chkpt_{epoch:02d}_{mape:.2f}.h5")], verbose=0)


class Blocking:
    """A tensor whose value must not be read."""

    def numpy(self):
        raise AssertionError("its value was read although nothing is saved")

    __array__ = numpy


def test_27_logs_are_not_read_when_nothing_is_saved(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_freq=100)
    assert checkpoint._supports_tf_logs
    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])  # neither built nor compiled
    callbacks = tf_keras.callbacks.CallbackList([checkpoint], model=model, epochs=1, steps=10, verbose=0)
    logs = {"metric": Blocking()}
    for hook, arguments in [
        ("on_train_begin", ()),
        ("on_epoch_begin", (0,)),
        ("on_train_batch_begin", (0,)),
        ("on_train_batch_end", (0,)),
        ("on_epoch_end", (0,)),
        ("on_train_end", ()),
        ("on_test_begin", ()),
        ("on_test_batch_begin", (0,)),
        ("on_test_batch_end", (0,)),
        ("on_test_end", ()),
        ("on_predict_begin", ()),
        ("on_predict_end", ()),
    ]:
        getattr(callbacks, hook)(*arguments, logs)


@pytest.mark.parametrize("steps_per_execution", [None, 7])
@pytest.mark.parametrize(
    ("save_freq", "batches", "epochs", "saved"),
    [
        (7, 7, 1, ["ckpt_1_7"]),
        (7, 7, 2, ["ckpt_1_7", "ckpt_2_7"]),
        (14, 7, 2, ["ckpt_2_7"]),
        (7, 14, 2, ["ckpt_1_14", "ckpt_1_7", "ckpt_2_14", "ckpt_2_7"]),
    ],
)
def test_28_steps_per_execution(
    make_model, data, tmp_path, names, steps_per_execution, save_freq, batches, epochs, saved
):
    model = make_model(steps_per_execution=steps_per_execution)
    x, y = data
    checkpoint = ModelCheckpoint(tmp_path / "ckpt_{epoch}_{batch}", save_freq=save_freq)
    model.fit(x[:batches], y[:batches], batch_size=1, epochs=epochs, verbose=0, callbacks=[checkpoint])
    assert names(tmp_path) == saved
    assert all((tmp_path / name / "saved_model.pb").exists() for name in saved)


@pytest.mark.parametrize("ending", ["h5", "tf"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_29_each_format_is_saved_when_training_on_a_dataset(fit, make_model, data, tmp_path, ending, weights_only):
    path = tmp_path / f"checkpoint.{ending}"
    rows = tf.data.Dataset.from_tensor_slices(data).batch(4).repeat()
    checkpoint = ModelCheckpoint(path, save_weights_only=weights_only)
    make_model().fit(rows, epochs=2, steps_per_epoch=2, verbose=0, callbacks=[checkpoint])
    assert path.exists() or (tmp_path / "checkpoint.tf.index").exists()
    make_model().load_weights(str(path))
