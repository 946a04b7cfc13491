"""Hits one of two processes while they save or restart, and checks that the other ends and that a restart is exact.

blows.py [--contenders NAME ...] [--most N]

Contenders that a run leaves out keep their results.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))
from scenarios.hosts.harness import free_port

JOB = Path(__file__).with_name("blow_job.py")
RESULTS = Path(__file__).with_name("blows.json")
PATHS = {"lastgood, .keras": "{epoch}.keras", "lastgood, directory": "at{epoch}", "OrbaxCheckpoint": ""}
AFTER = {"save": (0.0, 0.01, 0.03, 0.06, 0.1, 0.2), "restart": (0.0, 0.3, 0.6, 1.0)}
PATIENCE = 60.0  # seconds for the survivor to end
LONGEST = 240.0


class Blow(NamedTuple):
    """A blow: to which process, how, while it saves or restarts, and how many seconds after that has begun."""

    rank: int
    how: str
    where: str
    after: float

    @property
    def title(self):
        who = "the first process" if self.rank == 0 else "the other process"
        return f"{who} is {self.how} in {'a save' if self.where == 'save' else 'the restart'}"


def blows():
    """Return all blows."""
    return [
        Blow(rank, how, where, after)
        for rank, how, where in product((0, 1), ("killed", "stopped"), AFTER)
        for after in AFTER[where]
    ]


def run(contender, path, blow=None):
    """Run a training; return what it ended with, whether both processes ended, and whether both succeeded."""
    port = free_port()
    given = {"contender": contender, "path": str(path), "size": 2, "port": port}
    if blow is not None:
        given |= {"where": blow.where, "blow": {"rank": blow.rank, "how": blow.how, "after": blow.after}}
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    jobs = [
        subprocess.Popen(
            [sys.executable, str(JOB), json.dumps({**given, "rank": rank})],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        for rank in (0, 1)
    ]
    ended = wait_for(jobs, None if blow is None else blow.rank)
    for job in jobs:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    told = [job.communicate()[0] for job in jobs]
    worked = all(job.returncode == 0 for job in jobs)
    return json.loads(told[0].splitlines()[-1]) if worked else None, ended


def wait_for(jobs, hit):
    """Wait for the processes, and no longer than ``PATIENCE`` for the one that was not hit; return whether it ended."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        running = [rank for rank, job in enumerate(jobs) if job.poll() is None]
        if not running or (hit is not None and running == [hit]):
            return True
        if hit is not None and is_hit(jobs[hit]):
            until = min(until, time.monotonic() + PATIENCE)
            hit = hit if jobs[hit].poll() is None else None
        time.sleep(0.1)
    return False


def is_hit(job):
    """Return whether a process was killed or is stopped."""
    if job.poll() is not None:
        return True
    try:
        return Path(f"/proc/{job.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return True


def attempt(contender, blow, expected):
    """Hit a training, and start it again; return what is wrong, or an empty string."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, PATHS[contender])
        if blow.where == "restart":
            run(contender, path, Blow(1, "killed", "save", 0.05))
        _, ended = run(contender, path, blow)
        if not ended:
            return "HANGS"
        found, _ = run(contender, path)
        if found is None:
            return "FAILS"
        return "" if found == expected else "DIVERGES"


def main():
    """Try the blows, print the results, and write them to the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contenders", nargs="+", default=list(PATHS), choices=PATHS, help="which contenders")
    parser.add_argument("--most", type=int, help="blows of each contender, at most")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for contender in arguments.contenders:
        with tempfile.TemporaryDirectory() as directory:
            expected, _ = run(contender, Path(directory, PATHS[contender]))
        assert expected is not None, f"{contender} does not train"
        chosen = blows()
        if arguments.most is not None:
            chosen = random.Random(0).sample(chosen, arguments.most)
        found = {}
        for blow in chosen:
            wrong = attempt(contender, blow, expected) or "PASS"
            found.setdefault(blow.title, Counter())[wrong] += 1
            print(f"{contender}: {wrong}: {blow}", flush=True)
        if arguments.most is None:
            results[contender] = found
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
