"""Callbacks that are copied, pickled or reconfigured before use, as tuners and cross-validation do."""

import copy
import pickle

import numpy as np
import pytest

import lastgood
from helpers.kit import keras, to_numpy
from lastgood import ArgumentError, ModelCheckpoint

pytestmark = pytest.mark.any_backend


def _first_weights(model):
    return np.array(to_numpy(model.weights[0]))


def test_copies_save_their_own_models_and_leave_the_original_unused(fit, make_model, tmp_path):
    original = lastgood.ModelCheckpoint(tmp_path / "{epoch}.keras", keep_last=1, save_freq=lastgood.Epochs(1))
    first, second = make_model(), make_model()
    fit(first, [copy.deepcopy(original)], epochs=1)
    fit(second, [copy.deepcopy(original)], epochs=2)
    assert [each.epoch for each in original.run.checkpoints] == [2]
    other = make_model()
    lastgood.load_weights(other, original.run.latest.path)
    np.testing.assert_array_equal(_first_weights(other), _first_weights(second))
    assert original.best is None
    assert original.stats == []


def test_a_fit_with_a_copy_does_not_change_the_original(fit, make_model, tmp_path):
    original = lastgood.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", save_best_only=True)
    fit(make_model(), [original], epochs=1)
    again = copy.deepcopy(original)
    fit(make_model(), [again], epochs=3)
    assert again.best <= original.best
    assert len(original.stats) == 1


def test_a_copy_saves_into_the_same_memory_storage(fit, make_model, tmp_path):
    path = f"memory://{tmp_path.name}/copies/{{epoch}}.keras"
    fit(make_model(), [copy.deepcopy(lastgood.ModelCheckpoint(path, resume=True))], epochs=1)
    assert [each.epoch for each in lastgood.open_run(f"memory://{tmp_path.name}/copies").checkpoints] == [1]


def test_attributes_set_before_training_take_effect(fit, make_model, tmp_path, capsys):
    checkpoint = lastgood.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss")
    checkpoint.verbose, checkpoint.save_best_only = 1, True
    fit(make_model(), [checkpoint], epochs=1)
    assert "loss improved from" in capsys.readouterr().out


def test_a_callback_can_be_pickled_before_and_after_a_fit(fit, make_model, tmp_path):
    saver = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, keep_last=5)
    for epochs in (1, 2):
        sent = pickle.loads(pickle.dumps(saver))
        fit(make_model(), [sent], epochs=epochs, initial_epoch=epochs - 1)
        fit(make_model(), [saver], epochs=epochs, initial_epoch=epochs - 1)
        assert sent.filepath == saver.filepath
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["1.weights.h5", "2.weights.h5"]


def test_a_new_filepath_or_monitor_applies_from_the_next_save(fit, make_model, tmp_path):
    """A loop over folds reuses one callback in this way."""
    saver = ModelCheckpoint(tmp_path / "fold-0.weights.h5", "loss", save_weights_only=True, save_best_only=True)
    for fold in range(2):
        saver.filepath = tmp_path / f"fold-{fold}" / "{epoch}.weights.h5"
        saver.monitor, saver.best = ("loss", "accuracy")[fold], None
        fit(make_model(), [saver])
    saver.filepath = str(tmp_path / "whole.h5")
    saver.best = None
    fit(make_model(), [saver])
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.h5"))
    assert found == ["fold-0/1.weights.h5", "fold-1/1.weights.h5", "whole.h5"]
    assert saver.filepath == str(tmp_path / "whole.h5")
    assert 0 <= saver.best <= 1
    with pytest.raises(ArgumentError, match=r"Did you mean '\.keras'"):
        saver.filepath = "m.kears"
    assert saver.filepath == str(tmp_path / "whole.h5")


def test_a_subclass_can_save_a_model_other_than_the_trained_one(fit, make_model, tmp_path):
    """For example, the model inside a wrapper that distributes it over devices."""

    class Inner(ModelCheckpoint):
        inner = None

        def set_model(self, model):
            super().set_model(self.inner)

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    outer = keras.Sequential([inner, keras.layers.Dense(1)])
    outer.compile("adam", "mse")
    saver = Inner(tmp_path / "{epoch}.weights.h5", save_weights_only=True, keep_last=1)
    saver.inner = inner
    fit(outer, [saver], epochs=2)
    loaded = keras.models.clone_model(inner)
    loaded.load_weights(tmp_path / "2.weights.h5")
    assert all(map(np.array_equal, loaded.get_weights(), inner.get_weights()))
    assert [path.name for path in tmp_path.glob("*.h5")] == ["2.weights.h5"]
