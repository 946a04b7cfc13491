"""Metrics that nobody can know beforehand, and names of every kind: no warning that turns out wrong."""

import warnings

import pytest

from helpers.kit import keras
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.any_backend

ODD = ["my metric", "p@5", "top-5", "rouge(l)", "f1_é", "准确率", "val_my f1"]


class Adds(keras.callbacks.Callback):
    """Puts metrics of its own into the logs."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: value + epoch for name, value in self.values.items()})


@pytest.fixture
def told(recwarn):
    def texts():
        return [str(each.message) for each in recwarn if "ModelCheckpoint uses" in str(each.message)]

    return texts


@pytest.mark.parametrize("options", [{"save_best_only": True}, {"keep_best": 1}], ids=str)
def test_a_metric_that_a_callback_adds_is_not_warned_of(fit, make_model, tmp_path, told, options):
    saver = ModelCheckpoint(
        tmp_path / "{epoch}-{val_f1:.1f}.weights.h5", "val_f1", save_weights_only=True, mode="max", **options
    )
    fit(make_model(), [Adds(val_f1=0.5), saver], epochs=2, validate=True)
    assert told() == []
    assert (tmp_path / "2-1.5.weights.h5").exists()


@pytest.mark.parametrize("name", ODD)
def test_a_name_of_any_kind_is_looked_up_as_the_format_string_does(fit, make_model, tmp_path, told, name):
    saver = ModelCheckpoint(
        tmp_path / f"{{epoch}}-{{{name}:.1f}}.weights.h5", name, save_weights_only=True, mode="max", save_best_only=True
    )
    fit(make_model(), [Adds(**{name: 0.5}), saver], epochs=2)
    assert told() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-0.5.weights.h5", "2-1.5.weights.h5"]


def test_a_metric_of_a_format_is_looked_up_too(fit, make_model, tmp_path):
    saver = ModelCheckpoint(tmp_path / "{loss:{width}.2f}.weights.h5", save_weights_only=True)
    fit(make_model(), [Adds(width=8), saver])
    assert len(list(tmp_path.iterdir())) == 1
    other = ModelCheckpoint(tmp_path / "{loss:{width}.2f}.weights.h5", save_weights_only=True)
    with pytest.warns(UserWarning, match="uses 'width', which this model will not log"), pytest.raises(KeyError):
        fit(make_model(), [other])


def test_it_is_said_beforehand_where_nothing_can_add_it(make_model, data, tmp_path):
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_los", save_weights_only=True, save_best_only=True)
    saver.set_model(make_model())

    class Stop(Exception):  # noqa: N818
        pass

    class Stops(keras.callbacks.Callback):
        async_safe = True

        def on_train_begin(self, logs=None):
            raise Stop

    told = pytest.warns(UserWarning, match="uses 'val_los', which this model will not log. Did you mean 'val_loss'")
    with told, pytest.raises(Stop):
        make_model().fit(*data, verbose=0, callbacks=[saver, Stops()])


def test_it_is_said_after_the_first_epoch_that_could_have_logged_it(fit, make_model, tmp_path, told):
    """The metric ranks, so no save would miss it aloud."""
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_f2", save_weights_only=True, keep_best=1)
    fit(make_model(), [Adds(val_f1=0.5), saver], epochs=3)
    assert len(told()) == 1
    assert "uses 'val_f2', which this epoch has not logged. Did you mean 'val_f1'?" in told()[0]


def test_a_validation_that_comes_later_is_waited_for(fit, make_model, tmp_path, told):
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "val_loss", save_weights_only=True, keep_best=1)
    fit(make_model(), [Adds(f1=0.5), saver], epochs=3, validate=True, validation_freq=3)
    assert told() == []


def test_a_model_whose_step_logs_what_it_likes_is_waited_for(tmp_path, data, recwarn):
    class Own(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", "mine", save_weights_only=True, keep_best=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data, epochs=2, verbose=0, callbacks=[saver])
    texts = [str(each.message) for each in caught]
    assert sum("uses 'mine', which this epoch has not logged" in text for text in texts) == 1
