import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.crash.attempt import Server
from scenarios.crash.faults import POWER


def _obstacle():
    """Return why faults cannot be injected here; None if they can."""
    if sys.platform != "linux":
        return "faults are injected by strace, on Linux"
    if not shutil.which("strace"):
        return "strace is not installed"
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "this machine does not let strace trace"


def _disk_obstacle(case):
    """Return why the disk that a case needs is not available here; None if it is."""
    if not case.disk:
        return None
    if os.geteuid():
        return "mounting disks needs root"
    tool = {"XFS": "mkfs.xfs"}.get(case.disk, "mkfs.ext4")
    if case.disk in POWER and not (
        shutil.which(tool, path="/sbin:/usr/sbin:/bin:/usr/bin") and Path("/dev/loop-control").exists()
    ):
        return f"{tool} and loop devices are needed"
    return None


@pytest.fixture(scope="session")
def servers():
    """Return a function that gives the server of a backend, started at first use."""
    made = {}

    def of(backend):
        if backend not in made:
            # Only torch survives a fork; the others have threads that do not.
            made[backend] = Server(backend, forks=backend == "torch").__enter__()
        return made[backend]

    yield of
    for server in made.values():
        server.__exit__()


@pytest.fixture
def fault_can_be_injected(case):
    """Skip the test where the fault cannot be injected."""
    memory = case.fault == "out of memory" and not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK)
    why = _obstacle() or _disk_obstacle(case) or ("there is no memory cgroup to use" if memory else None)
    if why:
        pytest.skip(f"{why}, so this fault is not tried")
