"""Starts the processes of a training, and returns how each ended."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers import children

JOBS = {"jax": Path(__file__).with_name("job.py"), "torch": Path(__file__).with_name("ddp_job.py")}


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def start(given, rank, size, port, timeout):
    task = {"kind": "data_parallel", **given, **given.get(f"process {rank}", {}), "rank": rank, "size": size}
    backend = given.get("backend", "jax")
    own = {"LASTGOOD_TEST_RANK": str(rank), "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": backend}  # a forking process each
    job = [str(JOBS[backend]), json.dumps({**task, "port": port})]
    if "local" in given:
        return on_a_disk_of_its_own(Path(given["local"]), rank, [sys.executable, *job], os.environ | own, timeout)
    return children.run(job, env=os.environ | own, timeout=timeout)


def on_a_disk_of_its_own(local, rank, command, environment, timeout):
    """Run a process for which ``local`` is a directory that the others do not see, as if each had its own machine."""
    disk = local.with_name(f"disk-of-{rank}")
    for each in (local, disk):
        each.mkdir(exist_ok=True)
    mounting = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(disk), str(local)]
    environment |= {"TMPDIR": str(local), "HOME": str(local)}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": timeout, "check": False}
    return subprocess.run([*mounting, *command], **options)


def run(given, size=2, *, timeout=120):
    """Run a training in ``size`` processes; return how each ended, in order."""
    port = free_port()
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: start(given, rank, size, port, timeout), range(size)))


def results(given, size=2):
    """Run a training that succeeds; return what each process printed last."""
    ended = run(given, size)
    for each in ended:
        assert each.returncode == 0, each.stderr[-3000:]
    return [json.loads(each.stdout.splitlines()[-1]) for each in ended]
