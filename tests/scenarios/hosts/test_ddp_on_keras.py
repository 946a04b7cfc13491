"""Two PyTorch processes that train one model in a loop of their own, on loopback: one saves, all resume."""

import json

import keras
import numpy as np
import pytest

from helpers import sampling

from . import harness

GIVEN = {"backend": "torch"}
NAMES = ["{step:02d}.keras", "{step:02d}.weights.h5"]


def trained(results):
    return [{name: value for name, value in each.items() if name != "resumed"} for each in results]


def names(path):
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES if sampling.is_whole() else NAMES[:1])
def test_processes_killed_twice_end_as_if_uninterrupted(tmp_path, name):
    whole = harness.results({**GIVEN, "path": str(tmp_path / "a" / name)})
    assert whole[0]["shared"] == whole[1]["shared"]
    assert whole[0]["weights"] != whole[1]["weights"]  # each has statistics of its own
    assert whole[0]["random"] != whole[1]["random"]
    cut = {**GIVEN, "path": str(tmp_path / "b" / name)}
    assert [each.returncode for each in harness.run({**cut, "die_after": 4})] == [9, 9]
    assert [each.returncode for each in harness.run({**cut, "die_after": 7, "seed": 5})] == [9, 9]
    again = harness.results({**cut, "seed": 7})
    assert [each["resumed"] for each in again] == [6, 6]
    assert trained(again) == trained(whole)
    if name.endswith(".keras"):
        loaded = keras.saving.load_model(tmp_path / "b" / "12.keras")
        for mine, theirs in zip(loaded.weights, whole[0]["weights"], strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.float32(theirs).astype(mine.dtype))


@pytest.mark.long
def test_processes_with_a_distributed_sampler_killed_twice_end_as_if_uninterrupted(tmp_path):
    given = {**GIVEN, "data": "DataLoader"}
    whole = harness.results({**given, "path": str(tmp_path / "a" / NAMES[0])})
    assert whole[0]["weights"] != whole[1]["weights"]
    cut = {**given, "path": str(tmp_path / "b" / NAMES[0])}
    for die_after, seed in ((4, 0), (7, 5)):
        assert [each.returncode for each in harness.run({**cut, "die_after": die_after, "seed": seed})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 7})) == trained(whole)


def test_one_process_saves_for_all(tmp_path):
    first, second = harness.run({**GIVEN, "path": str(tmp_path / "{step:02d}.keras"), "arguments": {"keep_last": 2}})
    assert (first.returncode, second.returncode) == (0, 0), second.stderr[-2000:]
    assert names(tmp_path) == ["09.keras", "12.keras"]
    assert first.stdout.count("finished saving") == 4
    assert "saving" not in second.stdout


@pytest.mark.long
def test_processes_that_save_to_different_paths_each_save_for_themselves(tmp_path):
    given = {**GIVEN, "path": str(tmp_path / "{rank}" / "{step:02d}.keras"), "process 1": {"steps": 6}}
    assert [each["step"] for each in harness.results(given)] == [12, 6]
    assert [names(tmp_path / "0"), names(tmp_path / "1")] == [
        ["03.keras", "06.keras", "09.keras", "12.keras"],
        ["03.keras", "06.keras"],
    ]


@pytest.mark.long
def test_a_signal_to_one_process_saves_one_checkpoint_and_ends_all(tmp_path):
    given = {**GIVEN, "steps": 60, "every": 1000}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "{step:02d}.keras")})
    cut = {**given, "path": str(tmp_path / "b" / "{step:02d}.keras")}
    ended = harness.run({**cut, "process 1": {"term_after": 6}})
    assert [each.returncode for each in ended] == [-15, -15], ended[0].stderr[-2000:]
    assert len(names(tmp_path / "b")) == 1
    assert trained(harness.results(cut)) == trained(whole)


@pytest.mark.long
def test_another_number_of_processes_resumes_or_says_why_it_cannot(tmp_path):
    alike = {**GIVEN, "apart": 0, "path": str(tmp_path / "a" / "{step:02d}.keras")}
    harness.run({**alike, "die_after": 7})
    (alone,) = harness.run(alike, size=1)
    assert "2 processes, not 1" in alone.stderr
    assert json.loads(alone.stdout.splitlines()[-1])["resumed"] == 6
    apart = {**GIVEN, "path": str(tmp_path / "b" / "{step:02d}.keras")}
    harness.run({**apart, "die_after": 7})
    (refused,) = harness.run(apart, size=1)
    assert "RestoreError" in refused.stderr
    assert "Start 2 processes" in refused.stderr


@pytest.mark.long
def test_an_error_in_the_loop_of_one_process_ends_all(tmp_path):
    given = {**GIVEN, "path": str(tmp_path / "{step:02d}.keras"), "process 1": {"raise_after": 4}}
    first, second = harness.run(given)
    assert "ValueError: the user's own mistake" in second.stderr
    assert first.returncode == 1
    assert names(tmp_path) == ["03.keras"]


@pytest.mark.long
def test_a_save_that_fails_ends_training_on_all(tmp_path):
    first, second = harness.run({**GIVEN, "path": str(tmp_path / "{step:02d}-{mae}.keras")})
    assert "PlaceholderError" in first.stderr
    assert "GroupError: Process 0 of 2" in second.stderr
    assert "PlaceholderError" in second.stderr


@pytest.mark.long
def test_a_process_that_does_not_answer_fails_the_save_on_the_other(tmp_path):
    given = {**GIVEN, "path": str(tmp_path / "{step:02d}.keras"), "timeout": 2}
    first, _ = harness.run({**given, "process 1": {"sleeps_before_save": 6, "sleeps": 8}})
    assert "GroupError: Process 1 of 2 has not answered for 2 s" in first.stderr
    assert names(tmp_path) == ["03.keras"]


@pytest.mark.long
def test_a_process_that_is_still_saving_is_waited_for_however_long_it_takes(tmp_path):
    given = {**GIVEN, "path": str(tmp_path / "{step:02d}.keras"), "steps": 3, "timeout": 1, "process 0": {"slow": 5}}
    assert [each["step"] for each in harness.results(given)] == [3, 3]


@pytest.mark.skipif(not sampling.is_whole(), reason="make hosts runs it")
def test_four_processes_killed_end_as_if_uninterrupted(tmp_path):
    whole = harness.results({**GIVEN, "path": str(tmp_path / "a" / NAMES[0])}, size=4)
    cut = {**GIVEN, "path": str(tmp_path / "b" / NAMES[0])}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7}, size=4)] == [9] * 4
    assert trained(harness.results({**cut, "seed": 7}, size=4)) == trained(whole)
