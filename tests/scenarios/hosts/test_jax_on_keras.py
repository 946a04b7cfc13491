"""Two processes of two devices each that train one model on jax, on loopback: one decides and saves, all resume."""

import json
import os

import keras
import numpy as np
import pytest

from helpers import sampling

from . import harness

PATHS = ["{epoch}-{batch}.keras", "last.weights.h5", "at{epoch}-{batch}"]
PATHS = PATHS if sampling.is_whole() else PATHS[:1]
KINDS = [{"kind": "data_parallel", "apart": 1}, {"kind": "model_parallel", "mesh": [1, 4]}]
pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution over processes needs jax")


def trained(results):
    """Return the results of a training, without its warnings."""
    return [{name: value for name, value in each.items() if name != "warnings"} for each in results]


def stock_model(path):
    if path.suffix == ".keras":
        return keras.saving.load_model(path)
    layers = [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.load_weights(path / "model.weights.h5" if path.is_dir() else path)
    return model


def names(path):
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))


def test_one_process_saves_for_all_and_stock_keras_loads_the_file(tmp_path):
    first, second = harness.run({"path": str(tmp_path / "{epoch}.keras")})
    assert (first.returncode, second.returncode) == (0, 0), second.stderr[-2000:]
    assert names(tmp_path) == ["1.keras", "2.keras", "3.keras"]
    assert first.stdout.count("saving model to") == 6
    assert "saving model to" not in second.stdout
    loaded = keras.saving.load_model(tmp_path / "3.keras")
    for mine, theirs in zip(loaded.weights, json.loads(second.stdout.splitlines()[-1])["weights"], strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.float32(theirs).astype(mine.dtype))


@pytest.mark.long
@pytest.mark.parametrize("name", PATHS)
def test_two_processes_killed_twice_in_an_epoch_end_as_if_uninterrupted(tmp_path, name):
    given = {"save_freq": 3, "apart": 1, "arguments": {"resume": True, "save_weights_only": "weights" in name}}
    whole = harness.results({**given, "path": str(tmp_path / "a" / name)})
    cut = {**given, "path": str(tmp_path / "b" / name), "lags": 0.2}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    again = harness.run({**cut, "die_after": 4, "seed": 5})
    assert [each.returncode for each in again] == [9, 9]
    assert "resumed from" in again[0].stdout
    assert "resumed from" not in again[1].stdout
    assert trained(harness.results({**cut, "seed": 7})) == trained(whole)


@pytest.mark.long
@pytest.mark.parametrize("data", ["tf.data", "DataLoader"])
@pytest.mark.parametrize("kind", KINDS if sampling.is_whole() else KINDS[:1], ids=lambda kind: kind["kind"])
def test_two_processes_with_loaders_killed_twice_end_as_if_uninterrupted(tmp_path, kind, data):
    given = {**kind, "data": data, "save_freq": 3, "arguments": {"resume": True}, "lags": 0.2}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "{epoch}-{batch}.keras")})
    cut = {**given, "path": str(tmp_path / "b" / "{epoch}-{batch}.keras")}
    for die_after, seed in ((7, 0), (4, 5)):
        assert [each.returncode for each in harness.run({**cut, "die_after": die_after, "seed": seed})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 7})) == trained(whole)


@pytest.mark.long
def test_the_metric_and_the_clock_of_the_chief_decide(tmp_path):
    best = harness.results({"path": str(tmp_path / "best.keras"), "arguments": {"save_best_only": True}})
    assert best[0]["best"] == best[1]["best"] == min(best[0]["history"]["loss"])
    harness.results({"path": str(tmp_path / "timed-{epoch}-{batch}.keras"), "seconds": 0.01, "epochs": 5})
    assert len(names(tmp_path)) >= 3


@pytest.mark.long
def test_a_signal_to_one_process_saves_one_checkpoint_and_ends_all(tmp_path):
    given = {"save_freq": 100, "apart": 1, "epochs": 12, "arguments": {"resume": True}}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "{epoch}.keras")})
    cut = {**given, "path": str(tmp_path / "b" / "{epoch}.keras"), "term_after": 6, "whom": 1}
    ended = harness.run(cut)
    assert [each.returncode for each in ended] == [-15, -15], ended[0].stderr[-2000:]
    assert len(names(tmp_path / "b")) == 1
    assert trained(harness.results({**cut, "term_after": None})) == trained(whole)


@pytest.mark.long
def test_a_process_that_cannot_begin_ends_training_on_all(tmp_path):
    (tmp_path / "file").write_text("")
    first, second = harness.run({"path": str(tmp_path / "file" / "{epoch}.keras")})
    assert "SaveError" in first.stderr
    assert "GroupError: Process 0 of 2" in second.stderr
    assert "SaveError" in second.stderr


@pytest.mark.long
def test_processes_that_were_given_different_paths_do_not_train(tmp_path):
    for ended in harness.run(
        {"path": str(tmp_path / "{epoch}.keras"), "process 1": {"path": str(tmp_path / "{epoch}.h5")}}
    ):
        assert "ArgumentError" in ended.stderr
        assert "Pass the same path in all processes" in ended.stderr
    assert names(tmp_path) == []


def test_a_save_that_fails_ends_training_on_all(tmp_path):
    (tmp_path / "2.keras").mkdir()  # a directory at the path of a file
    first, second = harness.run({"path": str(tmp_path / "{epoch}.keras")})
    assert "TargetIsDirectoryError" in first.stderr
    assert "GroupError: Process 0 of 2" in second.stderr


@pytest.mark.long
def test_another_number_of_processes_resumes_or_says_why_it_cannot(tmp_path):
    given = {"save_freq": 3, "path": str(tmp_path / "a" / "{epoch}-{batch}.keras"), "arguments": {"resume": True}}
    harness.run({**given, "die_after": 7})
    (alone,) = harness.results(given, size=1)
    assert alone["step"] == 12
    assert any("2 processes, not 1" in text for text in alone["warnings"])
    apart = {**given, "apart": 1, "path": str(tmp_path / "b" / "{epoch}-{batch}.keras")}
    harness.run({**apart, "die_after": 7})
    (refused,) = harness.run(apart, size=1)
    assert "RestoreError" in refused.stderr
    assert "Start 2 processes" in refused.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", PATHS)
def test_state_split_over_processes_is_one_checkpoint_and_resumes_exactly(tmp_path, name):
    arguments = {"resume": True, "save_weights_only": "weights" in name}
    given = {"kind": "model_parallel", "mesh": [1, 4], "save_freq": 3, "arguments": arguments}
    whole = harness.results({**given, "path": str(tmp_path / "a" / name)})
    cut = {**given, "path": str(tmp_path / "b" / name), "lags": 0.2}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 5})) == trained(whole)
    stock = stock_model(max((tmp_path / "a").glob("[!.]*"), key=os.path.getmtime))
    for mine, theirs in zip(stock.weights, whole[0]["weights"], strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.float32(theirs).astype(mine.dtype))


@pytest.mark.long
def test_split_state_is_restored_bit_equal_on_another_mesh(tmp_path):
    given = {"kind": "model_parallel", "mesh": [1, 4], "save_freq": 4, "epochs": 1, "arguments": {"resume": True}}
    given |= {"path": str(tmp_path / "{epoch}-{batch}.keras")}
    saved = harness.results(given)[0]["weights"]
    for mesh, devices, size in (([2, 2], 2, 2), ([4, 1], 4, 1), ([1, 1], 1, 1)):
        for each in harness.results({**given, "mesh": mesh, "devices": devices, "seed": 3}, size=size):
            assert each["weights"] == saved
            assert each["step"] == 4


@pytest.mark.long
def test_a_process_that_hangs_before_it_sends_its_part_fails_the_save_on_all(tmp_path):
    given = {"kind": "model_parallel", "mesh": [1, 4], "path": str(tmp_path / "{epoch}.keras"), "timeout": 2}
    first, second = harness.run({**given, "process 1": {"holds": 3, "sleeps": 8}})
    assert (first.returncode, second.returncode) == (1, 1)
    assert all("GroupError: Process" in each.stderr for each in (first, second))
    assert "Process 1 has not sent its part of the model's state for 2 s" in first.stderr
    assert names(tmp_path) == ["1.keras"]


def test_a_model_split_over_the_devices_of_one_process_resumes_exactly(tmp_path):
    given = {"kind": "model_parallel", "mesh": [2, 4], "devices": 8, "save_freq": 3, "arguments": {"resume": True}}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "{epoch}-{batch}.keras")}, size=1)
    cut = {**given, "path": str(tmp_path / "b" / "{epoch}-{batch}.keras")}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7}, size=1)] == [9]
    assert trained(harness.results({**cut, "seed": 7}, size=1)) == trained(whole)
    newest = max((tmp_path / "b").glob("*.keras"))
    for mine, theirs in zip(keras.saving.load_model(newest).weights, whole[0]["weights"], strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.float32(theirs).astype(mine.dtype))


@pytest.mark.long
def test_a_process_that_does_not_answer_fails_the_save_on_the_other(tmp_path):
    given = {"path": str(tmp_path / "{epoch}.keras"), "timeout": 2, "process 1": {"sleep_after": 4, "sleeps": 10}}
    first, _ = harness.run(given)
    assert "GroupError: Process 1 of 2 has not answered for 2 s" in first.stderr
    assert names(tmp_path) == []


@pytest.mark.long
def test_a_chief_that_is_still_saving_at_the_end_is_waited_for(tmp_path):
    given = {"path": str(tmp_path / "{epoch}.keras"), "epochs": 1, "timeout": 2, "process 0": {"slow": 8}}
    assert [each["step"] for each in harness.results(given)] == [4, 4]


@pytest.mark.long
@pytest.mark.parametrize("kind", [{"apart": 1}, {"kind": "model_parallel", "mesh": [1, 4]}])
def test_a_loop_of_two_processes_killed_twice_ends_as_if_uninterrupted(tmp_path, kind):
    given = {"loop": True, "save_freq": 3, **kind}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "{step}.keras")})
    cut = {**given, "path": str(tmp_path / "b" / "{step}.keras")}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    assert [each.returncode for each in harness.run({**cut, "die_after": 10, "seed": 5})] == [9, 9]
    again = harness.results({**cut, "seed": 7})
    assert [each.pop("extra") for each in again] == [{"rank": 0}, {"rank": 1}]
    assert [each.pop("extra") for each in whole] == [None, None]
    assert trained(again) == trained(whole)


@pytest.mark.long
def test_a_signal_to_one_process_ends_the_loops_of_all_at_one_step(tmp_path):
    given = {"loop": True, "save_freq": 100, "steps": 40, "path": str(tmp_path / "{step}.keras")}
    ended = harness.run({**given, "term_after": 6, "whom": 1})
    assert [each.returncode for each in ended] == [-15, -15], ended[0].stderr[-2000:]
    assert len(names(tmp_path)) == 1


@pytest.mark.skipif(not sampling.is_whole(), reason="make hosts runs it")
@pytest.mark.parametrize("kind", [{"apart": 1}, {"kind": "model_parallel", "mesh": [2, 2]}])
def test_four_processes_killed_in_an_epoch_end_as_if_uninterrupted(tmp_path, kind):
    given = {"save_freq": 3, "devices": 1, "arguments": {"resume": True}, **kind}
    whole = harness.results({**given, "path": str(tmp_path / "a" / PATHS[0])}, size=4)
    cut = {**given, "path": str(tmp_path / "b" / PATHS[0]), "lags": 0.2}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7}, size=4)] == [9] * 4
    assert trained(harness.results({**cut, "seed": 7}, size=4)) == trained(whole)


separate_disks = pytest.mark.skipif(
    not sampling.is_whole() or not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="make hosts runs it, as root, which can mount",
)


@separate_disks
@pytest.mark.parametrize("kind", [{"apart": 1}, {"kind": "model_parallel", "mesh": [1, 4]}])
def test_only_the_directory_of_the_checkpoints_must_be_shared(tmp_path, kind):
    given = {"save_freq": 3, "arguments": {"resume": True}, "local": str(tmp_path / "local"), **kind}
    whole = harness.results({**given, "path": str(tmp_path / "a" / PATHS[0])})
    cut = {**given, "path": str(tmp_path / "b" / PATHS[0]), "lags": 0.2}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 7})) == trained(whole)


@separate_disks
def test_checkpoints_on_a_disk_that_others_do_not_see_are_refused_at_the_restart(tmp_path):
    given = {"save_freq": 3, "arguments": {"resume": True}, "local": str(tmp_path / "local")}
    given["path"] = str(tmp_path / "local" / PATHS[0])
    harness.run({**given, "die_after": 7})
    assert names(tmp_path / "disk-of-0")
    for each in harness.run(given):
        assert each.returncode == 1
        assert "Save to a file system that all processes share, or to a bucket" in each.stderr
