"""Runs the roles of ``children.py`` in separate processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 300  # seconds, for a busy machine


def pytest_configure(config):
    if "KERAS_BACKEND" not in os.environ:
        raise pytest.UsageError(
            "Set KERAS_BACKEND: Keras picks its backend at import, so each backend needs its own process."
        )


class Child:
    """A process that answers in lines of JSON, and continues on request."""

    def __init__(self, role, *arguments, environment=None):
        command = [sys.executable, str(Path(__file__).with_name("children.py")), role, json.dumps(arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **(environment or {})},
        )
        self.pid = self.process.pid

    def answer(self):
        """Wait for its next answer."""
        for line in self.process.stdout:
            if line.startswith("answer: "):
                return json.loads(line.removeprefix("answer: "))
        raise AssertionError(f"process {self.pid} has ended without an answer: {self.process.wait(PATIENCE)}")

    def go_on(self):
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()

    def send(self, number):
        os.kill(self.pid, number)

    def wait_until_stopped(self):
        end = time.monotonic() + PATIENCE
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < end
            assert self.process.poll() is None
            time.sleep(0.01)

    def end(self):
        """Wait for its end; return its status."""
        return self.process.wait(PATIENCE)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start():
    """Start a child; it is killed when the test ends."""
    children = []

    def begin(role, *arguments, **options):
        children.append(Child(role, *arguments, **options))
        return children[-1]

    yield begin
    for child in children:
        child.close()


@pytest.fixture
def names():
    """List the names in a directory, including hidden ones, except ``.lastgood``."""

    def listing(directory):
        return sorted(path.name for path in Path(directory).iterdir() if path.name != ".lastgood")

    return listing
