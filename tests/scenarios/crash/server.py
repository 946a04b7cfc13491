"""Imports what training needs once, then forks a process for each incoming job; or does one job itself.

python server.py          reads commands as lines of JSON: a job, or {"wait": PID, "seconds": S}; answers each in a line
python server.py JOB      does the job
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from helpers.kit import keras
from scenarios.crash import job


def wait(pid, seconds):
    """Return the exit status of a child; one that takes too long is killed."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "too long"
        time.sleep(0.002)


def warm():
    """Import and compile what a first training needs."""
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)  # threads do not survive a fork, and what waits for them hangs
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "m.keras")
        job.counting.model(8).save(path)
        keras.models.load_model(path).fit(job._X, job._X[:, :1], verbose=0)


def serve(run):
    """Fork a process to run each incoming job, a line of JSON; answer each in a line."""
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            print(json.dumps(wait(command["wait"], command["seconds"])), flush=True)
            continue
        pid = os.fork()
        if not pid:
            os.dup2(os.open(command["log"], os.O_WRONLY | os.O_CREAT, 0o644), 1)
            os.dup2(1, 2)
            run(command)
        print(pid, flush=True)


def main():
    if len(sys.argv) > 1:
        job.run(json.loads(sys.argv[1]))
    warm()
    serve(job.run)


if __name__ == "__main__":
    main()
