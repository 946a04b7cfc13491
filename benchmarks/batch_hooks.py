"""Measure what the callbacks of lastgood and stock Keras cost per batch when no save is due.

The baseline is to train a minimal model without a callback. The callbacks take turns in each repeat, so that noise
affects all of them alike, and each ratio to the baseline is the median over the repeats. This script prints a table,
and writes it as JSON to ``benchmarks/results/batch_hooks-<backend>.json``. Run it with ``make bench-hooks``.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from lastgood import ModelCheckpoint

RESULTS = Path(__file__).parent / "results"


def build_model():
    """Return a model with one weight, the cheapest to train."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer="sgd", loss="mse")
    return model


def seconds_per_batch(model, batches, callbacks):
    """Train one epoch; return its seconds per one-row batch, without its end, where a save may be due."""
    rows = np.ones((batches, 1), "float32")
    ends = {}
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: ends.update(begin=time.perf_counter()),
        on_epoch_end=lambda epoch, logs: ends.update(end=time.perf_counter()),
    )
    model.fit(rows, rows, batch_size=1, shuffle=False, verbose=0, callbacks=[clock, *callbacks])
    return (ends["end"] - ends["begin"]) / batches


def measure(batches, repeats):
    """Return the seconds per batch in each repeat, by callback."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/m.keras"
        kinds = {
            "none": list,
            "lastgood, by epoch": lambda: [ModelCheckpoint(path)],
            "lastgood, every 10**9 batches": lambda: [ModelCheckpoint(path, save_freq=10**9)],
            "keras, by epoch": lambda: [keras.callbacks.ModelCheckpoint(path)],
        }
        model = build_model()
        seconds_per_batch(model, batches, [])  # compiles the training step
        times = {kind: [] for kind in kinds}
        for _ in range(repeats):
            for kind, make in kinds.items():
                times[kind].append(seconds_per_batch(model, batches, make()))
    return times


def main():
    """Measure each callback, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=2000, help="batches in each epoch")
    parser.add_argument("--repeats", type=int, default=7, help="number of repeats")
    arguments = parser.parse_args()
    times = measure(arguments.batches, arguments.repeats)
    backend = keras.backend.backend()
    rows = []
    for kind, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["none"], strict=True)]
        rows.append(
            {
                "callback": kind,
                "microseconds_per_batch": round(statistics.median(seconds) * 1e6, 1),
                "ratio_to_none": round(statistics.median(ratios), 3),
                "ratio_min": round(min(ratios), 3),
                "ratio_max": round(max(ratios), 3),
            }
        )
    print(f"{backend}: {arguments.batches} batches, {arguments.repeats} repeats, Keras {keras.version()}")
    for row in rows:
        spread = f"{row['ratio_to_none']:.3f} times no callback ({row['ratio_min']:.3f} to {row['ratio_max']:.3f})"
        print(f"  {row['callback']:32}{row['microseconds_per_batch']:>9.1f} us per batch, {spread}")
    RESULTS.mkdir(exist_ok=True)
    result = {"backend": backend, "batches": arguments.batches, "repeats": arguments.repeats, "rows": rows}
    (RESULTS / f"batch_hooks-{backend}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
