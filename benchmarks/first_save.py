"""Compare the snapshot of the first save in a process with those of later saves.

Run this script with ``make bench-first``.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "first_save.json"
SAVES = 4
# Training steps between saves; six of them stand for an epoch.
WHEN = {"at the first step": 1, "at the end of the first epoch": 6}
ENDINGS = (".weights.h5", ".keras")


def measure(size, ending, every, directory):
    """Train; return the seconds of each save's hook and snapshot, of ``on_train_begin``, and of the first step."""
    import keras
    import workloads

    import lastgood

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.hooks, self.begun = [], 0.0

        def on_train_begin(self, logs=None):
            self.begun = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.hooks.append(time.perf_counter())

    model, width = workloads.dense(size)
    before, after = Clock(), Clock()
    with tempfile.TemporaryDirectory(dir=directory) as run:
        path = Path(run, f"m{ending}")
        checkpoint = lastgood.ModelCheckpoint(path, save_weights_only=ending != ".keras", save_freq=every)
        x, batch = workloads.batches(width, every * SAVES)
        callbacks = [before, checkpoint, after]
        model.fit(x, x, batch_size=batch, shuffle=False, verbose=0, callbacks=callbacks)
        snapshots = [save.snapshot for save in checkpoint.stats]
    hooks = [after.hooks[i] - before.hooks[i] for i in range(every - 1, every * SAVES, every)]
    return {
        "hooks": hooks,
        "snapshots": snapshots,
        "begin": after.begun - before.begun,
        "first step": before.hooks[0] - after.begun,
    }


def in_a_process(backend, *arguments):
    """Measure in a new process, whose memory no save has used yet."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", __file__, "--one", json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Measure each backend, format and time of the first save, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.5, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=3, help="number of processes for each measurement")
    parser.add_argument(
        "--pause", type=float, default=10, help="seconds before each process, so that the host can reclaim memory"
    )
    parser.add_argument("--backends", default="jax,torch", help="backends, separated by commas")
    parser.add_argument("--directory", type=Path, default=HERE, help="directory for the checkpoints")
    parser.add_argument("--result", type=Path, default=RESULTS, help="file for the results")
    parser.add_argument(
        "--one",
        metavar="JSON",
        help="measure once, in this process; a list of the bytes of state, suffix, training steps between saves, "
        "and directory",
    )
    arguments = parser.parse_args()
    if arguments.one:
        found = measure(*json.loads(arguments.one))
        print(json.dumps(found), flush=True)
        os._exit(0)  # skips the backend's slow shutdown
    results = {"machine": platform.platform(), "cores": os.cpu_count(), "size": arguments.size, "backends": {}}
    for backend in arguments.backends.split(","):
        for ending in ENDINGS:
            for when, every in WHEN.items():
                runs = []
                for _ in range(arguments.repeats):
                    time.sleep(arguments.pause)
                    runs.append(in_a_process(backend, arguments.size * 1e9, ending, every, str(arguments.directory)))
                figures = {
                    "first": statistics.median(run["snapshots"][0] for run in runs),
                    "rest": statistics.median(seconds for run in runs for seconds in run["snapshots"][1:]),
                    "before training": statistics.median(run["begin"] for run in runs),
                    "runs": runs,
                }
                results["backends"].setdefault(backend, {}).setdefault(ending, {})[when] = figures
                ratio = figures["first"] / figures["rest"]
                print(
                    f"{backend} {ending} {when}: first snapshot {figures['first']:.3f} s, "
                    f"later ones {figures['rest']:.3f} s, ratio {ratio:.2f}; "
                    f"before training {figures['before training']:.3f} s",
                    flush=True,
                )
                arguments.result.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
