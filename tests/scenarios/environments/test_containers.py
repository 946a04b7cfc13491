"""A container with one writable directory, and a user without a name or a home."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lastgood
from scenarios.environments import containers

TRAINING = Path(__file__).with_name("training.py")
KILLED_AT = 6  # batches: in the middle of the second epoch


@pytest.fixture(scope="module")
def contain():
    """Return the prefix of a command that runs in a container."""
    prefix = ["unshare", "--mount", sys.executable, containers.__file__]
    done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False, cwd=TRAINING.parent)
    if done.returncode:
        pytest.skip(f"a container needs mounts, which this process may not make: {done.stderr[-200:]}")
    return prefix


def python(directory, *arguments, before=()):
    """Run Python in a directory that matplotlib may write to: Keras imports matplotlib, which needs one."""
    settings = {"KERAS_BACKEND": "jax", "MPLCONFIGDIR": str(directory), "KERAS_HOME": str(directory)}
    return subprocess.run(
        [*before, sys.executable, *map(str, arguments)],
        cwd=directory,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.long
def test_a_killed_training_resumes_exactly_where_checkpoints_do_not_fit_into_dev_shm(contain, tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    assert python(inside, TRAINING, inside / "run", KILLED_AT, before=contain).returncode == -signal.SIGKILL
    done = python(inside, TRAINING, inside / "run", 0, before=contain)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended["lacking"] == ["a temporary directory", "a home"]
    whole = python(outside, TRAINING, outside / "run", 0)
    assert ended["lost"] == json.loads(whole.stdout.splitlines()[-1])["lost"]
    run = lastgood.open_run(inside / "run")
    assert sorted(each.path.name for each in run.checkpoints) == sorted(
        f"{epoch}{ending}" for epoch in (2, 3) for ending in (".keras", ".h5")
    )
    assert run.verify() == []
    assert max(path.stat().st_size for path in (inside / "run").iterdir()) > 64e6


@pytest.mark.parametrize("filepath", ["~/run/{epoch}.keras", "~"])
def test_a_path_in_a_missing_home_directory_is_an_error_that_says_so(contain, tmp_path, filepath):
    script = f"""if True:
        import sys
        sys.modules["tensorflow"] = None
        import lastgood
        try:
            lastgood.ModelCheckpoint({filepath!r})
        except lastgood.ArgumentError as error:
            print(error)
    """
    done = python(tmp_path, "-c", script, before=contain)
    assert "begins in a home directory, and this user has none" in done.stdout, done.stderr


def test_a_bucket_without_a_home_directory_reports_missing_credentials(contain, tmp_path):
    pytest.importorskip("obstore", reason="obstore is not installed")
    script = """if True:
        import lastgood
        try:
            lastgood.open_run("s3://checkpoints/run")
        except lastgood.StoreError as error:
            print(error)
    """
    closed = ["env", "-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_PROFILE", "AWS_ENDPOINT_URL=http://127.0.0.1:9"]
    done = python(tmp_path, "-c", script, before=[*contain, *closed])
    assert "No credentials were found" in done.stdout, done.stderr
