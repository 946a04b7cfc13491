"""A process is stopped in the middle of a save, others start, and it wakes or is killed."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from lastgood import RunInUseError, open_run
from lastgood._storage import LocalStorage
from scenarios.crowds.children import X, build, fit, saver


@pytest.fixture
def owner(tmp_path, start):
    """Return a process that has saved once and is stopped in its second save."""
    child = start("stopped", str(tmp_path))
    child.wait_until_stopped()
    return child


def weights(path):
    model = build(0)
    model.load_weights(path)
    return {float(value) for weight in model.get_weights() for value in np.unique(weight)}


def test_a_stopped_owner_keeps_its_run_and_commits_when_it_wakes(tmp_path, owner, names):
    there = names(tmp_path)
    assert there[-1] == "1.weights.h5"
    assert [name.partition(".")[2].partition(".")[0][:13] for name in there[:-1]] == ["lastgood-tmp-"] * 2
    for options in ({"resume": True}, {"keep_last": 1}):
        with pytest.raises(RunInUseError, match=f"process {owner.pid} on this machine"):
            fit(build(1), saver(tmp_path / "{epoch}", **options), 1)
    fit(build(1), saver(tmp_path / "other-{epoch}"), 1)
    with pytest.warns(UserWarning, match=f"process {owner.pid}"):
        fit(build(1), saver(tmp_path / "{epoch}", save_freq=1000), 1)
    assert LocalStorage().reclaim(tmp_path) == []
    assert names(tmp_path) == [*there, "other-1.weights.h5"]

    owner.send(signal.SIGCONT)
    assert owner.answer() == [str(tmp_path / f"{epoch}.weights.h5") for epoch in (1, 2, 3)]
    assert owner.end() == 0
    assert names(tmp_path) == ["1.weights.h5", "2.weights.h5", "3.weights.h5", "other-1.weights.h5"]
    assert open_run(tmp_path).verify() == []
    assert [weights(tmp_path / f"{epoch}.weights.h5") for epoch in (1, 2, 3)] == [{7.0}] * 3


def test_a_stopped_owner_that_is_killed_leaves_nothing_to_clean_up_by_hand(tmp_path, owner, names):
    owner.send(signal.SIGKILL)
    assert owner.end() == -signal.SIGKILL
    assert len(names(tmp_path)) == 3
    model = build(1)
    fit(model, saver(tmp_path / "{epoch}", resume=True), 2)
    assert names(tmp_path) == ["1.weights.h5", "2.weights.h5"]
    assert model.predict(X, verbose=0)[0, 0] == 7.0 * 200 + 7.0  # it resumed from the owner's checkpoint
    assert open_run(tmp_path).verify() == []


def test_training_does_not_hang_if_another_process_was_stopped_while_pruning(tmp_path, caplog):
    script = """
        import sys, time
        from pathlib import Path
        from lastgood._storage import LOCAL
        with LOCAL.event_log(Path(sys.argv[1])).alone():
            print("ready", flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            other.send_signal(signal.SIGSTOP)
            fit(build(1), saver(tmp_path / "{epoch}", keep_last=1), 2)
        finally:
            other.kill()
    assert "it may have been stopped" in caplog.text
    assert [each.epoch for each in open_run(tmp_path).checkpoints] == [1, 2]
    fit(build(1), saver(tmp_path / "{epoch}", keep_last=1), 3)
    assert [each.epoch for each in open_run(tmp_path).checkpoints] == [3]
