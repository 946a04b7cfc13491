"""Test each numbered line of ModelCheckpoint's contract through the public class and ``fit``.

The tests run on Keras 3 and on tf_keras. Line 23, ``tf.distribute``, is tested in ``tests/group``.
"""

import math
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.kit import TF_KERAS, keras
from lastgood import (
    ArgumentError,
    ArgumentTypeError,
    ModelCheckpoint,
    MonitorError,
    PlaceholderError,
    RestoreError,
    SaveError,
    TargetIsDirectoryError,
)


class FixedLogs(keras.callbacks.Callback):
    """Puts given values into the logs of each epoch, for the callbacks that follow."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: series[epoch] for name, series in self.values.items()})


pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def _weights(model):
    return [w.copy() for w in model.get_weights()]


def _same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# Constructor


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("weights_only", [False, True])
def test_line_01_filepath_is_str_or_pathlike(fit, make_model, tmp_path, kind, weights_only):
    path = tmp_path / ("m.weights.h5" if weights_only else "m.keras")
    fit(make_model(), [ModelCheckpoint(kind(path), save_weights_only=weights_only)])
    assert path.is_file()


@pytest.mark.parametrize("path", [None, 3, b"m.keras", ["m.keras"]])
def test_line_01_any_other_filepath_is_a_type_error(path):
    with pytest.raises(TypeError, match=r"filepath must be a str or os\.PathLike") as caught:
        ModelCheckpoint(path)
    assert isinstance(caught.value, ArgumentTypeError)


@pytest.mark.parametrize(
    ("weights_only", "wanted"), [(True, "tf.train.CheckpointOptions"), (False, "tf.saved_model.SaveOptions")]
)
def test_line_02_options_of_another_type_are_a_type_error(tmp_path, weights_only, wanted):
    with pytest.raises(TypeError, match=re.escape(wanted)) as caught:
        ModelCheckpoint(tmp_path / "ck", save_weights_only=weights_only, options={"fast": True})
    assert "type dict" in str(caught.value)
    assert ModelCheckpoint(tmp_path / "ck", save_weights_only=weights_only, options=None)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", *([] if TF_KERAS else ["m.h5", "ck"])])
def test_line_02_options_that_the_format_does_not_use_are_a_value_error(tmp_path, name):
    tf = pytest.importorskip("tensorflow")
    weights_only = name == "m.weights.h5"
    right = tf.train.CheckpointOptions() if weights_only else tf.saved_model.SaveOptions()
    wrong = tf.saved_model.SaveOptions() if weights_only else tf.train.CheckpointOptions()
    with pytest.raises(ValueError, match="no use for the `options` argument"):
        ModelCheckpoint(tmp_path / name, save_weights_only=weights_only, options=right)
    with pytest.raises(TypeError, match="`options` must be either None or a tf"):
        ModelCheckpoint(tmp_path / name, save_weights_only=weights_only, options=wrong)


def test_line_03_period_counts_epochs_and_warns(fit, make_model, tmp_path, names):
    with pytest.warns(DeprecationWarning, match=r"`period` argument is deprecated. Please use `save_freq`"):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", period=2)
    fit(make_model(), [checkpoint], epochs=5)
    assert names(tmp_path) == ["2.keras", "4.keras"]


def test_line_03_period_is_ignored_with_an_integer_save_freq(fit, make_model, tmp_path, names):
    with pytest.warns(DeprecationWarning, match="period"):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", period=2, save_freq=10)
    fit(make_model(), [checkpoint], epochs=3)
    assert names(tmp_path) == ["1.keras", "2.keras", "3.keras"]


def test_line_03_period_starts_over_even_when_the_save_is_skipped(fit, make_model, tmp_path, names):
    with pytest.warns(DeprecationWarning, match="period"):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", "score", save_best_only=True, mode="max", period=2)
    scores = FixedLogs(score=[0.0, 3.0, 9.0, 2.0, 9.0, 4.0])
    fit(make_model(), [scores, checkpoint], epochs=6)
    assert names(tmp_path) == ["2.keras", "6.keras"]  # epoch 4 was due but worse; epoch 5 was better but not due


def test_line_03_load_weights_on_restart_warns(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"`load_weights_on_restart` .* `model.load_weights\(\)`"):
        ModelCheckpoint(tmp_path / "m.keras", load_weights_on_restart=True)


def test_line_04_unknown_mode_warns_and_becomes_auto(tmp_path):
    with pytest.warns(UserWarning, match=r"ModelCheckpoint mode 'best' is unknown, fallback to auto mode\."):
        checkpoint = ModelCheckpoint(tmp_path / "m.keras", mode="best")
    assert checkpoint.mode == "auto"


@pytest.mark.parametrize("value", [0, -1, True, False, 1.5, "batch", None])
def test_line_05_save_freq_is_epoch_or_a_positive_integer(tmp_path, value):
    with pytest.raises(ValueError, match=f"Unrecognized save_freq: {value!r}") as caught:
        ModelCheckpoint(tmp_path / "m.keras", save_freq=value)
    assert isinstance(caught.value, ArgumentError)


def test_line_05_save_freq_accepts_numpy_integers(fit, make_model, tmp_path, names):
    fit(make_model(), [ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=np.int64(5))])
    assert names(tmp_path) == ["10.keras", "5.keras"]


def test_line_06_best_starts_at_the_threshold_or_unset(fit, make_model, tmp_path, names):
    assert ModelCheckpoint(tmp_path / "m.keras").best == (math.inf if TF_KERAS else None)
    checkpoint = ModelCheckpoint(tmp_path / "m.keras", "loss", save_best_only=True, initial_value_threshold=0.0)
    assert checkpoint.best == 0.0
    fit(make_model(), [checkpoint], epochs=2)
    assert names(tmp_path) == []
    assert checkpoint.best == 0.0


# When to save


def test_line_07_epoch_saves_at_the_end_of_each_epoch(fit, make_model, tmp_path, names):
    fit(make_model(), [ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=3)
    assert names(tmp_path) == ["1.keras", "2.keras", "3.keras"]


def test_line_07_batches_are_counted_across_epochs_and_fits(fit, make_model, tmp_path, names):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch:02d}-{batch:02d}.keras", save_freq=8)
    model = make_model()
    fit(model, [checkpoint], epochs=2)  # 20 batches: saves after 8 and 16
    assert names(tmp_path) == ["01-08.keras", "02-06.keras"]
    fit(model, [checkpoint], epochs=1)  # 4 batches were left over, so the next save comes after 4 more
    assert names(tmp_path) == ["01-04.keras", "01-08.keras", "02-06.keras"]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
def test_line_08_save_freq_counts_individual_batches_with_steps_per_execution(fit, make_model, tmp_path, names):
    model = make_model(steps_per_execution=7)  # 10 batches: hooks at 7 and 10
    fit(model, [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=8)], epochs=2)
    assert names(tmp_path) == ["1-10.keras", "2-10.keras"]


def test_line_09_a_mid_epoch_save_sees_the_running_metrics(fit, make_model, tmp_path, names):
    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(f"{logs['loss']:.6f}"))
    fit(make_model(), [watch, ModelCheckpoint(tmp_path / "{batch:02d}-{loss:.6f}.keras", save_freq=1)])
    assert names(tmp_path) == [f"{i:02d}-{loss}.keras" for i, loss in enumerate(seen, start=1)]
    assert len(set(seen)) > 1


# What path


def test_line_10_epoch_batch_and_metrics_fill_the_path(fit, make_model, tmp_path, names):
    history = fit(
        make_model(), [ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}-{accuracy:.3f}.keras")], validate=True
    ).history
    assert names(tmp_path) == [f"01-{history['val_loss'][0]:.2f}-{history['accuracy'][0]:.3f}.keras"]


def test_line_10_a_batch_in_the_logs_takes_precedence(make_model, tmp_path, names):
    model = make_model()
    checkpoint = ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=1)
    checkpoint.set_model(model)
    checkpoint.on_epoch_begin(0)
    checkpoint.on_train_batch_end(0, {"batch": 77})
    checkpoint.wait()
    assert names(tmp_path) == ["77.keras"]


@pytest.mark.filterwarnings("ignore:ModelCheckpoint uses 'absent'")
def test_line_11_a_placeholder_missing_from_logs_is_a_key_error_even_when_not_saving(fit, make_model, tmp_path):
    checkpoint = ModelCheckpoint(
        tmp_path / "{absent:.2f}.keras", "loss", save_best_only=True, mode="min", initial_value_threshold=-1.0
    )
    with pytest.raises(KeyError) as caught:
        fit(make_model(), [checkpoint])
    assert isinstance(caught.value, PlaceholderError)
    path = tmp_path / "{absent:.2f}.keras"
    assert str(caught.value) == (
        f"Failed to format this callback filepath: \"{path}\". Reason: 'absent'. Available: accuracy, epoch, loss."
    )


def test_line_12_parent_directories_are_created_only_by_a_save(fit, make_model, tmp_path, names):
    never = ModelCheckpoint(tmp_path / "a" / "m.keras", "loss", save_best_only=True, initial_value_threshold=-1.0)
    fit(make_model(), [never, ModelCheckpoint(tmp_path / "b" / "{epoch}" / "m.keras")])
    assert names(tmp_path) == ["b"]
    assert names(tmp_path / "b" / "1") == ["m.keras"]


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "{epoch}.keras"])
def test_line_13_an_existing_directory_is_an_io_error(fit, make_model, tmp_path, name):
    target = tmp_path / name.format(epoch=1)
    target.mkdir()
    (target / "precious").write_text("mine")
    with pytest.raises(IOError, match="Please specify a non-directory filepath for ModelCheckpoint") as caught:
        fit(make_model(), [ModelCheckpoint(tmp_path / name)])
    assert isinstance(caught.value, TargetIsDirectoryError)
    assert f"Filepath used is an existing directory: {target}" in str(caught.value)
    assert (target / "precious").read_text() == "mine"


# A TensorFlow checkpoint is a group of files, so a directory of the same name does not conflict with it.
@pytest.mark.parametrize("weights_only", [False] if TF_KERAS else [True, False])
def test_line_13_a_directory_format_never_replaces_a_directory_that_is_not_a_checkpoint(
    fit, make_model, tmp_path, weights_only
):
    target = tmp_path / "ck"
    target.mkdir()
    (target / "precious").write_text("mine")
    with pytest.raises(IOError, match="it is not a checkpoint"):
        fit(make_model(), [ModelCheckpoint(target, save_weights_only=weights_only)])
    assert (target / "precious").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SaveError, match="a file is there"):
        fit(make_model(), [ModelCheckpoint(file, save_weights_only=weights_only)])
    assert file.read_text() == "mine"


# Best


def _scored(fit, model, tmp_path, scores, **options):
    """Fit with one score per epoch; return the callback and the names of the saved files."""
    options = {"monitor": "score", "mode": "max", "save_best_only": True, **options}
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", **options)
    fit(model, [FixedLogs(score=scores), checkpoint], epochs=len(scores))
    return checkpoint, sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "scores", "saved", "best"),
    [
        ("max", [1.0, 1.0, 2.0, 0.0], ["1.keras", "3.keras"], 2.0),
        ("min", [1.0, 1.0, 2.0, 0.0], ["1.keras", "4.keras"], 0.0),
        ("max", [float("nan"), 1.0, float("nan")], ["2.keras"], 1.0),
        ("min", [float("nan"), float("nan")], [], math.inf if TF_KERAS else None),
    ],
)
def test_line_14_only_a_strictly_better_value_saves_and_nan_never_does(
    fit, make_model, tmp_path, mode, scores, saved, best
):
    checkpoint, found = _scored(fit, make_model(), tmp_path, scores, mode=mode)
    assert found == saved
    assert checkpoint.best == best


def test_line_15_without_placeholders_each_better_model_replaces_the_file(fit, make_model, tmp_path, names):
    model, kept = make_model(), {}
    path = tmp_path / "m.keras"
    remember = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.update({epoch: _weights(model)}))
    checkpoint = ModelCheckpoint(path, "score", mode="max", save_best_only=True)
    fit(model, [FixedLogs(score=[1.0, 3.0, 2.0]), remember, checkpoint], epochs=3)
    assert names(tmp_path) == ["m.keras"]
    assert _same(keras.models.load_model(path).get_weights(), kept[1])


def test_line_15_with_placeholders_each_better_model_adds_a_file(fit, make_model, tmp_path):
    _, found = _scored(fit, make_model(), tmp_path, [1.0, 3.0, 2.0, 4.0])
    assert found == ["1.keras", "2.keras", "4.keras"]


def test_line_16_a_missing_monitor_warns_and_does_not_save(fit, make_model, tmp_path, names):
    checkpoint = ModelCheckpoint(tmp_path / "m.keras", save_best_only=True)  # monitors val_loss, without validation
    with pytest.warns(UserWarning, match=r"Can save best model only with val_loss available, skipping\."):
        fit(make_model(), [checkpoint])
    assert names(tmp_path) == []


def test_line_17_a_monitored_value_that_is_not_a_scalar_is_an_error(fit, make_model, tmp_path):
    with pytest.raises(ValueError, match="'score' must be a scalar") as caught:
        _scored(fit, make_model(), tmp_path, [np.zeros(2)])
    assert isinstance(caught.value, MonitorError)


def test_line_17_an_array_of_size_one_counts_as_a_scalar(fit, make_model, tmp_path):
    ones = keras.backend.ones if TF_KERAS else keras.ops.ones
    checkpoint, found = _scored(fit, make_model(), tmp_path, [np.array([0.5]), ones((1, 1)) * 2])
    assert found == ["1.keras", "2.keras"]
    assert checkpoint.best == 2.0


@pytest.mark.parametrize(
    ("monitor", "scores", "saved"),
    [
        ("my_acc", [1.0, 2.0], ["1.keras", "2.keras"]),
        ("fmeasure_x", [1.0, 2.0], ["1.keras", "2.keras"]),
        ("my_loss", [1.0, 2.0], ["1.keras"]),
    ],
)
def test_line_18_mode_auto_infers_the_direction_from_the_name(fit, make_model, tmp_path, names, monitor, scores, saved):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor, save_best_only=True)
    fit(make_model(), [FixedLogs(**{monitor: scores}), checkpoint], epochs=2)
    assert names(tmp_path) == saved


@pytest.mark.skipif(TF_KERAS, reason="tf_keras does not ask the metric")
def test_line_18_mode_auto_asks_the_metric_and_warns_if_it_has_to_guess(fit, make_model, tmp_path, names):
    up = ModelCheckpoint(tmp_path / "up-{epoch}.keras", "val_auc", save_best_only=True, initial_value_threshold=2.0)
    down = ModelCheckpoint(
        tmp_path / "down-{epoch}.keras", "val_mean_absolute_error", save_best_only=True, initial_value_threshold=-1.0
    )
    metrics = [keras.metrics.AUC(name="auc"), keras.metrics.MeanAbsoluteError()]
    fit(make_model(metrics), [up, down], validate=True)
    assert names(tmp_path) == []
    guessed = ModelCheckpoint(tmp_path / "{epoch}.keras", "score", save_best_only=True)
    with pytest.warns(UserWarning, match="score") as caught:
        fit(make_model(), [FixedLogs(score=[1.0, 2.0]), guessed], epochs=2)
    assert names(tmp_path) == ["1.keras"]
    guess = "assumes that a lower 'score' is better, since nothing says otherwise. Pass mode='min' or mode='max'."
    assert sum(guess in str(w.message) for w in caught) == 1


@pytest.mark.skipif(not TF_KERAS, reason="Keras 3 asks the metric")
def test_line_18_mode_auto_is_min_and_warns_if_that_is_probably_wrong(fit, make_model, tmp_path, names):
    area = ModelCheckpoint(tmp_path / "{epoch}", "auc", save_best_only=True, save_weights_only=True)
    error = ModelCheckpoint(tmp_path / "e-{epoch}.keras", "mean_absolute_error", save_best_only=True)
    metrics = [keras.metrics.AUC(name="auc"), keras.metrics.MeanAbsoluteError()]
    with pytest.warns(UserWarning, match=r"a lower 'auc' is better.* Pass mode='min' or mode='max'") as caught:
        fit(make_model(metrics), [area, error])
    assert len([each for each in caught if issubclass(each.category, UserWarning)]) == 1
    assert "e-1.keras" in names(tmp_path)


@pytest.mark.skipif(TF_KERAS, reason="tf_keras does not ask the metric")
def test_line_18_mode_auto_asks_the_metric_of_the_right_output(tmp_path, names):
    x = keras.Input((2,))
    model = keras.Model(x, {"a": keras.layers.Dense(1, name="a")(x), "b": keras.layers.Dense(1, name="b")(x)})
    model.compile(loss="mse", metrics={"a": [keras.metrics.R2Score()], "b": ["mae"]})
    rows = np.random.default_rng(0).normal(size=(8, 2))
    targets = {"a": rows[:, :1], "b": rows[:, 1:]}
    up = ModelCheckpoint(tmp_path / "a", "val_a_r2_score", save_best_only=True, initial_value_threshold=1e9)
    down = ModelCheckpoint(tmp_path / "b", "b_mae", save_best_only=True, initial_value_threshold=-1e9)
    model.fit(rows, targets, validation_data=(rows, targets), verbose=0, callbacks=[up, down])
    assert names(tmp_path) == []


# Messages


def test_line_19_verbose_prints_improvements_and_saves(fit, make_model, tmp_path, capsys):
    capsys.readouterr()
    checkpoint, _ = _scored(fit, make_model(), tmp_path, [0.5, 0.25, 0.75], verbose=1)
    d = tmp_path
    assert capsys.readouterr().out == (
        f"\nEpoch 1: score improved from {'-inf' if TF_KERAS else None} to 0.50000, saving model to {d}/1.keras\n"
        f"\nEpoch 1: finished saving model to {d}/1.keras\n"
        "\nEpoch 2: score did not improve from 0.50000\n"
        f"\nEpoch 3: score improved from 0.50000 to 0.75000, saving model to {d}/3.keras\n"
        f"\nEpoch 3: finished saving model to {d}/3.keras\n"
    )
    assert checkpoint.best == 0.75


def test_line_19_each_save_is_printed_only_if_verbose(fit, make_model, tmp_path, capsys):
    capsys.readouterr()
    path = tmp_path / "m.keras"
    fit(make_model(), [ModelCheckpoint(path, verbose=1)])
    assert capsys.readouterr().out == (
        f"\nEpoch 1: saving model to {path}\n\nEpoch 1: finished saving model to {path}\n"
    )
    fit(make_model(), [ModelCheckpoint(path)])
    assert capsys.readouterr().out == ""


def test_line_19_messages_go_to_the_log_if_interactive_logging_is_off(fit, make_model, tmp_path, capsys, caplog):
    switch = keras.utils if TF_KERAS else keras.config
    switch.disable_interactive_logging()
    try:
        with caplog.at_level("INFO", logger="lastgood"):
            fit(make_model(), [ModelCheckpoint(tmp_path / "m.keras", verbose=1)])
    finally:
        switch.enable_interactive_logging()
    assert "finished saving model to" in caplog.text
    assert "finished saving" not in capsys.readouterr().out


# Metric names


@pytest.mark.filterwarnings(f"{'ignore' if TF_KERAS else 'error'}:ModelCheckpoint assumes that a lower '(val_)?area'")
def test_line_20_every_key_of_the_history_is_a_valid_monitor(fit, make_model, tmp_path):
    metrics = ["accuracy", "mae", keras.metrics.AUC(name="area")]
    keys = list(fit(make_model(metrics), [], validate=True).history)
    assert {"loss", "val_loss", "accuracy", "val_accuracy", "area", "val_area", "mae", "val_mae"} == set(keys)
    model = make_model(["accuracy", "mae", keras.metrics.AUC(name="area")])
    watchers = [ModelCheckpoint(tmp_path / key, key, save_best_only=True, save_weights_only=True) for key in keys]
    fit(model, watchers, validate=True)  # warnings are errors: no monitor is unknown, no mode is guessed
    assert all((tmp_path / f"{key}.index").is_file() if TF_KERAS else (tmp_path / key).is_dir() for key in keys)


def test_line_20_metric_names_of_several_outputs_have_a_prefix(tmp_path, names):
    x = keras.Input((2,))
    outputs = {"left": keras.layers.Dense(1, name="left")(x), "right": keras.layers.Dense(1, name="right")(x)}
    model = keras.Model(x, outputs)
    model.compile(loss={"left": "mse", "right": "mse"}, metrics={"left": ["mae"], "right": ["mae"]})
    rows = np.ones((8, 2))
    targets = {"left": rows[:, :1], "right": rows[:, 1:]}
    model.fit(rows, targets, verbose=0)  # the TensorFlow backend builds the metrics on the first batch
    monitors = ["left_mae", "val_right_mae", "left_loss", "val_right_loss"]
    callbacks = [ModelCheckpoint(tmp_path / f"{name}.keras", name, save_best_only=True) for name in monitors]
    model.fit(rows, targets, validation_data=(rows, targets), verbose=0, callbacks=callbacks)
    assert names(tmp_path) == sorted(f"{name}.keras" for name in monitors)


# Restart


def _restarting(path, **options):
    with pytest.warns(DeprecationWarning, match="load_weights_on_restart"):
        return ModelCheckpoint(path, load_weights_on_restart=True, **options)


class AtTrainBegin(keras.callbacks.Callback):
    """Keeps the weights at the start of training, after the callbacks before it have run."""

    def on_train_begin(self, logs=None):
        self.weights = _weights(self.model)


@pytest.mark.parametrize(
    ("name", "weights_only"),
    [
        ("{epoch}.keras", False),
        ("{epoch}.weights.h5", True),
        ("{epoch}.h5", False),
        ("{epoch}.hdf5", True),
        ("ck{epoch}", True),
        ("ck{epoch}", False),
    ],
)
def test_line_21_the_newest_checkpoint_is_loaded_before_training(fit, make_model, tmp_path, name, weights_only):
    first, begin = make_model(), AtTrainBegin()
    fit(first, [ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)], epochs=11)
    fit(make_model(), [_restarting(tmp_path / name, save_weights_only=weights_only), begin])
    assert _same(begin.weights, first.get_weights())  # of epoch 11, whose name sorts before that of epoch 2


def test_line_21_a_missing_checkpoint_is_not_an_error(fit, make_model, tmp_path, names):
    fit(make_model(), [_restarting(tmp_path / "new" / "{epoch}.keras")])
    assert names(tmp_path / "new") == ["1.keras"]


def test_line_21_an_unreadable_checkpoint_is_a_value_error(fit, make_model, tmp_path):
    path = tmp_path / "1.weights.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=f"Error loading file from {re.escape(str(path))}. Reason: ") as caught:
        fit(make_model(), [_restarting(tmp_path / "{epoch}.weights.h5", save_weights_only=True)])
    assert isinstance(caught.value, RestoreError)
    assert path.read_bytes() == b"no HDF5"


def test_line_22_the_newest_checkpoint_is_chosen_by_step_not_by_time(fit, make_model, tmp_path):
    model, kept, begin = make_model(), {}, AtTrainBegin()
    remember = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.update({epoch: _weights(model)}))
    fit(model, [remember, ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=3)
    now = time.time()
    os.utime(tmp_path / "1.keras", (now + 100, now + 100))
    os.utime(tmp_path / "3.keras", (now - 100, now - 100))
    fit(make_model(), [_restarting(tmp_path / "{epoch}.keras"), begin])
    assert _same(begin.weights, kept[2])


def test_line_22_without_records_the_newest_is_chosen_by_time_then_by_name(fit, make_model, tmp_path):
    model, kept, begin = make_model(), {}, AtTrainBegin()
    for name in ("1", "2", "3"):
        fit(model, [])
        model.save_weights(tmp_path / f"{name}.weights.h5")  # stock Keras: no record
        kept[name] = _weights(model)
        os.utime(tmp_path / f"{name}.weights.h5", (1000, 1000))
    template = tmp_path / "{epoch}.weights.h5"
    fit(make_model(), [_restarting(template, save_weights_only=True, monitor="loss", save_freq=999), begin])
    assert _same(begin.weights, kept["3"])
    os.utime(tmp_path / "2.weights.h5", (2000, 2000))
    fit(make_model(), [_restarting(template, save_weights_only=True, monitor="loss", save_freq=999), begin])
    assert _same(begin.weights, kept["2"])


def test_line_22_files_of_another_template_are_not_loaded(fit, make_model, tmp_path):
    other, begin, model = make_model(), AtTrainBegin(), make_model()
    fit(other, [ModelCheckpoint(tmp_path / "last-{epoch}.keras")], epochs=2)
    untrained = _weights(model)
    fit(model, [_restarting(tmp_path / "best-{epoch}.keras"), begin])
    assert _same(begin.weights, untrained)


# Decisions


def test_decision_integer_save_freq_with_best_only_resolves_the_mode_before_the_first_save(
    fit, make_model, tmp_path, names
):
    checkpoint = ModelCheckpoint(tmp_path / "{batch:02d}.keras", "loss", save_best_only=True, save_freq=2)
    fit(make_model(), [checkpoint])
    assert names(tmp_path)[0] == "02.keras"
    assert checkpoint.best is not None


def test_decision_a_failed_save_does_not_move_the_best(fit, make_model, small_disk, data):
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    checkpoint = ModelCheckpoint(small_disk / "{epoch}.keras", "score", mode="max", save_best_only=True)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"score": 1.0})
    checkpoint.wait()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(4_000_000))

    def save_and_wait():
        checkpoint.on_epoch_end(1, {"score": 2.0})
        checkpoint.wait()

    with pytest.raises(OSError, match=r"No space left on device\. Free some space") as caught:
        save_and_wait()
    assert isinstance(caught.value, SaveError)
    assert checkpoint.best == 1.0
    assert sorted(p.name for p in small_disk.iterdir()) == ["1.keras", "filler"]
    filler.unlink()
    checkpoint.on_epoch_end(2, {"score": 1.5})  # still better than the current best
    checkpoint.wait()
    assert checkpoint.best == 1.5
    assert keras.models.load_model(small_disk / "3.keras")


def test_decision_unknown_keyword_arguments_are_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="no argument 'save_wieghts_only'"):
        ModelCheckpoint(tmp_path / "m.keras", save_wieghts_only=True)


def test_decision_an_unused_monitor_without_a_direction_is_not_an_error(fit, make_model, tmp_path, names):
    fit(make_model(), [ModelCheckpoint(tmp_path / "m.keras", monitor="unheard_of")])
    assert names(tmp_path) == ["m.keras"]


def test_the_signature_matches_the_document():
    import inspect

    parameters = list(inspect.signature(ModelCheckpoint).parameters.values())
    positional = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [
        ("filepath", inspect.Parameter.empty),
        ("monitor", "val_loss"),
        ("verbose", 0),
        ("save_best_only", False),
        ("save_weights_only", False),
        ("mode", "auto"),
        ("save_freq", "epoch"),
        ("options", None),
        ("initial_value_threshold", None),
    ]
    assert sys.modules["lastgood"].ModelCheckpoint is ModelCheckpoint
