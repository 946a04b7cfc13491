"""Training, killed and restarted, ends alike on each file system: whatever a file system lacks costs no checkpoint."""

import json
import os
import signal
from pathlib import Path

import pytest

import lastgood
from helpers import children
from scenarios.file_systems.mounts import MOUNTS, CannotMountError, mounted

# The warnings about some of them before training; there is none about the others.
SAID = {
    "bindfs": "It cannot swap two names",
    "sshfs": "It cannot swap two names",
    "rclone with a cache": "It does not rename atomically",
}
# There a directory that is renamed while its files are being sent loses some of them; the callback warns of that, too.
FILES_ALONE = {"rclone with a cache"}
JOB = Path(__file__).with_name("job.py")


def train(directory, kill_at=0, *, files=False):
    """Train in a process; return its exit status, and what it printed, if it was not killed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = children.run([JOB, directory, kill_at, *(["files"] if files else [])], env=environment)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The loss of each epoch where nothing happens."""
    code, said = train(tmp_path_factory.mktemp("uninterrupted"))
    assert code == 0
    return said["loss"]


@pytest.mark.parametrize("kind", MOUNTS)
def test_a_killed_training_resumes_to_the_same_end_on_each_file_system(kind, tmp_path, uninterrupted):
    if os.geteuid():
        pytest.skip("mounting file systems needs root")
    try:
        with mounted(kind, tmp_path) as root:
            files = kind in FILES_ALONE
            assert train(root / "run", kill_at=10, files=files)[0] == -signal.SIGKILL
            said = _check_restart(root / "run", uninterrupted, files=files)
    except CannotMountError as error:
        pytest.skip(f"this file system cannot be mounted here: {error}")
    assert bool(said) == (kind in SAID)
    assert all(SAID[kind] in each for each in said)


def _check_restart(directory, uninterrupted, *, files=False):
    code, end = train(directory, files=files)
    assert code == 0
    assert end["loss"] == uninterrupted
    run = lastgood.open_run(directory)
    names = ["3.keras", "3.weights.h5", "4.keras", "4.weights.h5"]
    names += [] if files else ["directory/3", "directory/4", "one place"]
    assert sorted(str(each.path.relative_to(directory)) for each in run.checkpoints) == names
    assert run.verify() == []
    assert not [*directory.rglob(".lastgood-tmp-*"), *directory.parent.glob(".lastgood-tmp-*")]
    return end["said"]


def test_a_checkpoint_from_a_container_image_is_replaced(tmp_path, uninterrupted):
    """As in a container: what is in a lower layer of an overlay cannot be moved, and neither can its directories."""
    if os.geteuid():
        pytest.skip("mounting a file system needs root")
    lower = tmp_path / "below" / "lower" / "run"
    assert train(lower, kill_at=10)[0] == -signal.SIGKILL
    try:
        with mounted("overlay", tmp_path) as root:
            _check_restart(root / "run", uninterrupted)
    except CannotMountError as error:
        pytest.skip(f"this file system cannot be mounted here: {error}")
