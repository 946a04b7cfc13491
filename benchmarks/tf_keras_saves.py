"""Measure what a save costs on tf_keras 2, with its ModelCheckpoint and with lastgood's, in each format.

The two take turns in one process. This script prints a table, and writes JSON to ``benchmarks/results/``. Run it with
``make bench-tf-keras``.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tf_keras
from rich.console import Console
from rich.table import Table

import lastgood

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SAVES, EVERY, LAYERS, BATCH = 2, 6, 5, 8
# By name in the table: the path of the checkpoint, and whether to save only weights.
FORMATS = {
    "TensorFlow checkpoint": ("ck", True),
    "SavedModel": ("model", False),
    ".h5 model": ("m.h5", False),
    ".keras": ("m.keras", False),
    ".weights.h5": ("m.weights.h5", True),
}
# With background="auto", training would wait for each save, because Clock could open the file.
MAKERS = {
    "stock": tf_keras.callbacks.ModelCheckpoint,
    "lastgood": partial(lastgood.ModelCheckpoint, background=True),
}


def dense(state_bytes):
    """Return a model with about ``state_bytes`` of state, compiled with Adam, and the width of its input."""
    width = max(1, round((state_bytes / (3 * 4 * LAYERS)) ** 0.5))
    model = tf_keras.Sequential([tf_keras.Input((width,)), *(tf_keras.layers.Dense(width) for _ in range(LAYERS))])
    model.compile("adam", "mse")
    return model, width


class Clock(tf_keras.callbacks.Callback):
    """A callback that records when each step ends."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())


def windows(model, width, callbacks):
    """Train; return the seconds of each window of ``EVERY`` steps, which begins with the hook that saves, if any."""
    clock = Clock()
    x = np.random.default_rng(0).random((EVERY * (SAVES + 1) * BATCH, width), np.float32)
    model.fit(x, x, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[clock, *callbacks])
    return [clock.ends[EVERY * (i + 2) - 1] - clock.ends[EVERY * (i + 1) - 1] for i in range(SAVES)]


def costs(model, width, repeats, directory):
    """Return the seconds that each save adds to fit, by contender, and those of a step."""
    windows(model, width, [])
    found, steps = {}, []
    for _ in range(repeats):
        plain = windows(model, width, [])
        seen = {}
        for form, (path, weights_only) in FORMATS.items():
            for name, make in MAKERS.items():
                with tempfile.TemporaryDirectory(dir=directory) as run:
                    callback = make(str(Path(run, path)), save_weights_only=weights_only, save_freq=EVERY)
                    seen[f"{name} {form}"] = windows(model, width, [callback])
        middle = statistics.median(plain + windows(model, width, []))
        steps.append(middle / EVERY)
        for name, seconds in seen.items():
            found.setdefault(name, []).extend(each - middle for each in seconds)
    return found, steps


def middle(values):
    """Return the median, minimum, maximum and count of some values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "count": len(values)}


def main():
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument("--directory", type=Path, default=HERE, help="directory for the checkpoints")
    arguments = parser.parse_args()
    model, width = dense(arguments.size * 1e9)
    found, steps = costs(model, width, arguments.repeats, arguments.directory)
    size = sum(variable.numpy().nbytes for variable in [*model.weights, *model.optimizer.variables])
    table = Table(title=f"tf_keras: {size / 1e9:.2f} GB of state, {statistics.median(steps):.3f} s per training step")
    for heading in ("", "stock, s per save", "lastgood, s per save", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    ratios = {}
    for form in FORMATS:
        stock, ours = middle(found[f"stock {form}"]), middle(found[f"lastgood {form}"])
        ratios[form] = stock["median"] / ours["median"]
        cells = [f"{each['median']:.3f} ({each['min']:.3f} to {each['max']:.3f})" for each in (stock, ours)]
        table.add_row(form, *cells, f"{ratios[form]:.1f}")
    Console(width=120).print(table)
    results = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("tf_keras", "tensorflow-cpu", "numpy", "h5py")},
        "bytes": size,
        "step": middle(steps),
        "fit": {name: middle(values) for name, values in found.items()},
        "ratios": ratios,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "tf_keras.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
