"""The working directory may change during or between saves; a relative path is resolved when the hook is called."""

import os
import time

import pytest

import lastgood
from helpers.kit import keras
from lastgood import ModelCheckpoint
from lastgood.testing import Fault, faults

pytestmark = pytest.mark.any_backend


class Moves(keras.callbacks.Callback):
    """Changes to another directory after the first epoch, like a job that changes to its output directory."""

    async_safe = True

    def __init__(self, directory):
        super().__init__()
        self.directory = directory

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            os.chdir(self.directory)


@pytest.fixture
def places(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    with faults(Fault("commit", lambda: time.sleep(0.3), nth=None)):
        yield here, there


def listed(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*.weights.h5"))


@pytest.mark.parametrize("options", [{}, {"keep_last": 5}, {"keep_last": 1}, {"resume": True, "keep_last": 5}], ids=str)
@pytest.mark.parametrize("background", [True, False])
def test_each_save_resolves_its_relative_path_when_its_hook_is_called(fit, make_model, places, options, background):
    here, there = places
    saver = ModelCheckpoint("out/{epoch}.weights.h5", save_weights_only=True, background=background, **options)
    fit(make_model(), [saver, Moves(there)], epochs=3)
    assert listed(here) == ["out/1.weights.h5"]
    kept = ["out/2.weights.h5", "out/3.weights.h5"]
    assert listed(there) == (kept[-1:] if options.get("keep_last") == 1 else kept)
    assert not list(here.parent.rglob(".lastgood-tmp*"))
    assert lastgood.open_run(there / "out").verify() == []


def test_the_run_property_uses_the_current_working_directory(fit, make_model, places):
    _, there = places
    saver = ModelCheckpoint("out/{epoch}.weights.h5", save_weights_only=True, keep_last=5)
    fit(make_model(), [saver, Moves(there)], epochs=3)
    assert [each.epoch for each in saver.run.checkpoints] == [2, 3]


def test_an_absolute_path_ignores_changes_of_the_working_directory(fit, make_model, places):
    here, there = places
    saver = ModelCheckpoint(here / "{epoch}.weights.h5", save_weights_only=True, keep_last=2)
    fit(make_model(), [saver, Moves(there)], epochs=3)
    assert listed(here) == ["2.weights.h5", "3.weights.h5"]
    assert listed(there) == []


def test_a_custom_loop_can_change_the_working_directory_between_saves(make_model, data, places):
    here, there = places
    model = make_model()
    model.train_on_batch(*data)
    with lastgood.Checkpointer("out/{step}.weights.h5") as saver:
        saver.save(model, step=1)
        os.chdir(there)
        saver.save(model, step=2)
    assert listed(here) == ["out/1.weights.h5"]
    assert listed(there) == ["out/2.weights.h5"]


def test_training_with_an_absolute_path_works_in_a_deleted_working_directory(fit, make_model, places):
    here, there = places
    saver = ModelCheckpoint(there / "m.weights.h5", save_weights_only=True)
    here.rmdir()
    fit(make_model(), [saver])
    assert listed(there) == ["m.weights.h5"]
