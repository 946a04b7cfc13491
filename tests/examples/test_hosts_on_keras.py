"""One model in several processes, started as SLURM and Kubernetes start them, with stand-ins for both on loopback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples import scripts
from helpers.kit import keras

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: see pyproject.toml")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: see pyproject.toml")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution over processes is of jax")

# Starts the tasks of a step as SLURM does, and sends SIGTERM to all of them once a checkpoint exists.
SRUN = """
import os, pathlib, signal, subprocess, sys, time
ranks = ["0", "1"]
step = {"SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
tasks = [
    subprocess.Popen(sys.argv[1:], env={**os.environ, **step, "SLURM_PROCID": rank, "SLURM_LOCALID": rank})
    for rank in ranks
]
stop = os.environ.get("STOP_AT")
while stop and not pathlib.Path(stop).exists() and all(task.poll() is None for task in tasks):
    time.sleep(0.01)
if stop:
    for task in tasks:
        task.send_signal(signal.SIGTERM)
codes = [task.wait() for task in tasks]
sys.exit(max(128 - code if code < 0 else code for code in codes))
"""


@pytest.fixture
def job(tmp_path):
    """A function that runs the script of a SLURM job and returns how it ended."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (tmp_path / "srun.py").write_text(SRUN)
    srun = f'exec {sys.executable} {tmp_path / "srun.py"} "$@"'
    commands = {"srun": srun, "python": f'exec {sys.executable} "$@"', "scontrol": 'echo "$@" >> queued'}
    for name, command in commands.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_ / name).chmod(0o755)

    def run(directory, **given):
        # The number of the job chooses the port.
        environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SLURM_JOB_ID": str(os.getpid()), **given}
        script = [scripts.EXAMPLES / "hosts.py", "--directory", directory, "--epochs", 20]
        command = ["bash", scripts.EXAMPLES / "slurm_hosts.sh", *script]
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False}
        try:
            return subprocess.run(list(map(str, command)), timeout=240, **options)  # below the five minutes of jax
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"a process has failed, and the others wait for it: {late.stdout}\n{late.stderr}")

    return run


def losses(printed):
    """Return the losses that the processes printed; on one terminal, their lines may run into each other."""
    return sorted(re.findall(r"process \d of \d: loss \d+\.\d{6} in the last epoch", printed))


@pytest.mark.long
def test_a_slurm_job_saves_on_sigterm_is_requeued_and_resumes_exactly(tmp_path, job):
    whole = job("whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    stopped = job("cut", STOP_AT=str(tmp_path / "cut" / "001.keras"))
    assert (stopped.returncode, losses(stopped.stdout)) == (143, []), stopped.stderr[-3000:]
    assert Path(tmp_path / "queued").read_text() == f"requeue {os.getpid()}\n"
    resumed = job("cut")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert losses(resumed.stdout) == losses(whole.stdout)
    assert len(losses(whole.stdout)) == 2
    scripts.assert_same_model(tmp_path / "whole/020.keras", tmp_path / "cut/020.keras")


@pytest.mark.long
def test_the_pods_of_a_kubernetes_job_find_each_other(tmp_path):
    service, described = yaml.safe_load_all((scripts.EXAMPLES / "kubernetes_hosts.yaml").read_text())
    pod = described["spec"]["template"]["spec"]
    name = f"{described['metadata']['name']}-0.{service['metadata']['name']}"
    (container,) = pod["containers"]
    command = [*container["command"][:-1], str(tmp_path / "runs"), "--epochs", "1"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert command[:2] == ["python", "hosts.py"]

    def environment(number):
        values = {each["name"]: each.get("value", number) for each in container["env"]}
        address = values["KERAS_DISTRIBUTION_JOB_ADDRESSES"].replace(name, "127.0.0.1")
        return {**os.environ, **values, "KERAS_DISTRIBUTION_JOB_ADDRESSES": address}

    pods = [
        subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=scripts.EXAMPLES,
            env=environment(str(number)),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(described["spec"]["completions"])
    ]
    said = [process.communicate(timeout=300)[0] for process in pods]
    assert [process.returncode for process in pods] == [0, 0]
    assert [losses(each)[0].partition(":")[0] for each in said] == ["process 0 of 2", "process 1 of 2"]
    assert keras.saving.load_model(tmp_path / "runs" / "001.keras")
