"""Measure how long the ``lastgood`` command takes on a run of 200 checkpoints.

Run this script with ``make bench-command``.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import lastgood

RESULTS = Path(__file__).parent / "results" / "command.json"
CHECKPOINTS, REPEATS = 200, 9


def seconds(arguments, directory):
    """Run a command several times; return the median, minimum and maximum of its seconds."""
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - started)
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}


def main():
    """Train to make the checkpoints, time the commands, and write the times."""
    with tempfile.TemporaryDirectory() as directory:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        x = np.ones((8, 4))
        checkpoint = lastgood.ModelCheckpoint(f"{directory}/run/{{epoch:03d}}.keras", keep_last=CHECKPOINTS)
        model.fit(x, x[:, :1], epochs=CHECKPOINTS, verbose=0, callbacks=[checkpoint])
        results = {
            "python alone": seconds(["-c", "pass"], directory),
            "lastgood ls": seconds(["-m", "lastgood", "ls", "run"], directory),
            "lastgood ls --json": seconds(["-m", "lastgood", "ls", "run", "--json"], directory),
            "lastgood show": seconds(["-m", "lastgood", "show", f"run/{CHECKPOINTS}.keras"], directory),
        }
    RESULTS.write_text(json.dumps({"checkpoints": CHECKPOINTS, "seconds": results}, indent=1) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
