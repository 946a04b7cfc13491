"""One attempt: a process that does a job while its parent injects a fault."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = Path(__file__).with_name("server.py")
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class Attempt:
    """A process with a job."""

    def __init__(self, control, pid, wait):
        self._control, self.pid, self._wait = control, pid, wait

    def reach(self, gate, seconds=120):
        """Wait until the process is at a gate; return whether it got there."""
        deadline = time.monotonic() + seconds
        while not (self._control / f"{gate}.reached").exists():
            if not _lives(self.pid):
                return (self._control / f"{gate}.reached").exists()
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                return False
            time.sleep(0.001)
        return True

    def open(self, gate):
        """Let the process through a gate."""
        (self._control / f"{gate}.open").touch()

    def end(self, seconds=60):
        """Wait until the process has ended, and kill it if it does not; return its exit status."""
        return self._wait(seconds)

    @property
    def said(self):
        """The events that the process has reported."""
        try:
            lines = (self._control / "said").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    @property
    def log(self):
        """What the process has printed."""
        return (self._control / "log").read_text(errors="replace")


class Server:
    """Where attempts run: in forks of one process that has imported everything, or in a new process each."""

    def __init__(self, backend="torch", *, forks=True):
        self._environment = {**os.environ, **_QUIET, "KERAS_BACKEND": backend}
        if backend == "tf_keras":
            self._environment |= {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "1"}
        self._where = tempfile.TemporaryDirectory(prefix="lastgood-crash-")
        self._count = 0
        self._process = self._begin() if forks else None

    def _begin(self):
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, SERVER], stdin=pipe, stdout=pipe, stderr=quiet, text=True, env=self._environment
        )
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("The process that forks others did not start.")
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()
        self._where.cleanup()

    @property
    def scratch(self):
        """A directory for temporary files of attempts."""
        return Path(self._where.name)

    def start(self, what, directory, cell):
        """Begin an attempt to do a job in ``directory``."""
        self._count += 1
        control = self.scratch / str(self._count)
        control.mkdir()
        job = {**cell, "what": what, "directory": str(directory), "control": str(control), "log": str(control / "log")}
        if self._process is None:
            with (control / "log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, SERVER, json.dumps(job)], stdout=log, stderr=log, env=self._environment
                )
            return Attempt(control, process.pid, lambda seconds: _end(process, seconds))
        pid = int(self._ask(job))
        return Attempt(control, pid, lambda seconds: json.loads(self._ask({"wait": pid, "seconds": seconds})))

    def _ask(self, command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def _end(process, seconds):
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return "too long"


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
