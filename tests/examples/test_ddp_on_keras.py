"""The DDP example, as torchrun starts it: one process is killed, and torchrun starts both again."""

import os
import re
import subprocess
import sys

import pytest

from examples import scripts

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: see pyproject.toml")
pytestmark = pytest.mark.any_backend

# Kills one process, the first time, once a checkpoint exists.
KILLED = """
import os, pathlib, runpy, signal, sys, threading, time
script, found, arguments = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
def kill():
    while not list(found.glob("*.keras")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
if os.environ["RANK"] == os.environ["KILL"] and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    threading.Thread(target=kill, daemon=True).start()
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


def train(tmp_path, name, killed):
    """Run the example in two processes, kill one or none, and return what they printed."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    directory = tmp_path / name
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        2,
        "--max-restarts",
        1,
    ]
    command += [script, scripts.EXAMPLES / "ddp.py", directory, "--directory", directory, "--epochs", 4]
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "KILL": str(killed)}
    environment |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see the example
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def losses(printed):
    return sorted(re.findall(r"process \d of 2: loss \d+\.\d{6}", printed))


@pytest.mark.long
def test_training_continues_exactly_when_torchrun_restarts_it(tmp_path):
    whole = train(tmp_path, "whole", None)
    cut = train(tmp_path, "cut", 1)
    assert "resumed from step" not in whole
    assert "resumed from step" in cut
    assert losses(cut) == losses(whole)
    assert len(losses(whole)) == 2
    last = max(each.name for each in (tmp_path / "whole").glob("*.keras"))
    scripts.assert_same_model(tmp_path / "whole" / last, tmp_path / "cut" / last)
