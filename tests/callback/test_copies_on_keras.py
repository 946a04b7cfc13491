"""A callback that is copied before it is used, as KerasTuner copies those that it is given for each trial."""

import copy

import numpy as np

import lastgood
from helpers.kit import to_numpy


def _first_weights(model):
    return np.array(to_numpy(model.weights[0]))


def test_a_copy_saves_the_model_that_it_is_given_and_not_the_originals(fit, make_model, tmp_path):
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


def test_a_copy_made_after_a_fit_counts_for_itself(fit, make_model, tmp_path):
    original = lastgood.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", save_best_only=True)
    fit(make_model(), [original], epochs=1)
    again = copy.deepcopy(original)
    fit(make_model(), [again], epochs=3)
    assert again.best <= original.best
    assert len(original.stats) == 1


def test_a_copy_saves_into_the_same_memory(fit, make_model, tmp_path):
    path = f"memory://{tmp_path.name}/copies/{{epoch}}.keras"
    fit(make_model(), [copy.deepcopy(lastgood.ModelCheckpoint(path, resume=True))], epochs=1)
    assert [each.epoch for each in lastgood.open_run(f"memory://{tmp_path.name}/copies").checkpoints] == [1]


def test_what_is_set_before_training_is_heeded(fit, make_model, tmp_path, capsys):
    checkpoint = lastgood.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss")
    checkpoint.verbose, checkpoint.save_best_only = 1, True
    fit(make_model(), [checkpoint], epochs=1)
    assert "loss improved from" in capsys.readouterr().out
