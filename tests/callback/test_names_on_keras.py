"""Metrics that are not known before training, and unusual metric names, cause no false warning."""

import warnings

import pytest

from helpers.kit import keras
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.any_backend

ODD = ["my metric", "p@5", "top-5", "rouge(l)", "f1_é", "准确率", "val_my f1"]


class Adds(keras.callbacks.Callback):
    """Adds custom metrics to the logs."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: value + epoch for name, value in self.values.items()})


@pytest.fixture
def unknown_metric_warnings(recwarn):
    warnings.simplefilter("always")  # else Python would leave out a repeated one

    def texts():
        return [str(each.message) for each in recwarn if "ModelCheckpoint uses" in str(each.message)]

    return texts


@pytest.mark.parametrize("options", [{"save_best_only": True}, {"keep_best": 1}], ids=str)
def test_a_metric_that_a_callback_adds_does_not_warn(fit, make_model, tmp_path, unknown_metric_warnings, options):
    saver = ModelCheckpoint(
        tmp_path / "{epoch}-{val_f1:.1f}.weights.h5", "val_f1", save_weights_only=True, mode="max", **options
    )
    fit(make_model(), [Adds(val_f1=0.5), saver], epochs=2, validate=True)
    assert unknown_metric_warnings() == []
    assert (tmp_path / "2-1.5.weights.h5").exists()


@pytest.mark.parametrize("name", ODD)
def test_unusual_metric_names_work_in_the_path_and_as_monitor(fit, make_model, tmp_path, unknown_metric_warnings, name):
    saver = ModelCheckpoint(
        tmp_path / f"{{epoch}}-{{{name}:.1f}}.weights.h5", name, save_weights_only=True, mode="max", save_best_only=True
    )
    fit(make_model(), [Adds(**{name: 0.5}), saver], epochs=2)
    assert unknown_metric_warnings() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-0.5.weights.h5", "2-1.5.weights.h5"]


def test_a_metric_inside_a_format_spec_is_looked_up(fit, make_model, tmp_path):
    saver = ModelCheckpoint(tmp_path / "{loss:{width}.2f}.weights.h5", save_weights_only=True)
    fit(make_model(), [Adds(width=8), saver])
    assert len(list(tmp_path.iterdir())) == 1
    other = ModelCheckpoint(tmp_path / "{loss:{width}.2f}.weights.h5", save_weights_only=True)
    with pytest.warns(UserWarning, match="uses 'width', which this model will not log"), pytest.raises(KeyError):
        fit(make_model(), [other])


def test_an_unknown_metric_warns_before_training_if_nothing_can_add_it(make_model, data, tmp_path):
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_los", save_weights_only=True, save_best_only=True)
    saver.set_model(make_model())

    class Stop(Exception):  # noqa: N818
        pass

    class Stops(keras.callbacks.Callback):
        async_safe = True

        def on_train_begin(self, logs=None):
            raise Stop

    warns = pytest.warns(UserWarning, match="uses 'val_los', which this model will not log. Did you mean 'val_loss'")
    with warns, pytest.raises(Stop):
        make_model().fit(*data, verbose=0, callbacks=[saver, Stops()])


def test_a_missing_metric_warns_once_after_the_first_epoch_that_could_log_it(
    fit, make_model, tmp_path, unknown_metric_warnings
):
    """The metric only ranks checkpoints, so no save would report that it is missing."""
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_f2", save_weights_only=True, keep_best=1)
    fit(make_model(), [Adds(val_f1=0.5), saver], epochs=3)
    assert len(unknown_metric_warnings()) == 1
    assert "uses 'val_f2', which this epoch has not logged. Did you mean 'val_f1'?" in unknown_metric_warnings()[0]


def test_a_validation_metric_does_not_warn_before_the_first_validation(
    fit, make_model, tmp_path, unknown_metric_warnings
):
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_loss", save_weights_only=True, keep_best=1)
    fit(make_model(), [Adds(f1=0.5), saver], epochs=3, validate=True, validation_freq=3)
    assert unknown_metric_warnings() == []


def test_with_a_custom_train_step_a_missing_metric_warns_after_the_first_epoch(tmp_path, data, unknown_metric_warnings):
    class Own(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "mine", save_weights_only=True, keep_best=1)
    counts = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: counts.append(len(unknown_metric_warnings())))
    model.fit(*data, epochs=3, verbose=0, callbacks=[saver, count])
    assert counts == [0, 1, 1]
    (text,) = unknown_metric_warnings()
    assert "uses 'mine', which this epoch has not logged" in text
