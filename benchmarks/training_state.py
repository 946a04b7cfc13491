"""Measure what the training state of a model of 100 layers adds to a save: seconds in the hook, bytes in the file.

The model trains for 20 epochs, with callbacks that have state. At the end of the last epoch, this script makes the
training state as a save does. It prints the result, and writes it to
``benchmarks/results/training_state-<backend>.json``. Run it with ``make bench-state``.
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
from lastgood._keras import adapt
from lastgood._moment import Moment
from lastgood._snapshot import copier

RESULTS = Path(__file__).parent / "results"


def build_model():
    """Return a model of 100 layers: a quarter of them have a seed, and another quarter have moving statistics."""
    kinds = (keras.layers.Dense, keras.layers.Dense, keras.layers.Dropout, keras.layers.BatchNormalization)
    layers = [kinds[i % 4](*{0: (16,), 1: (16,), 2: (0.1,)}.get(i % 4, ())) for i in range(100)]
    model = keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return model


class Measure(keras.callbacks.Callback):
    """A callback that makes the training state as a save does, and times it."""

    def __init__(self, checkpoint, repeats):
        super().__init__()
        self.checkpoint, self.repeats = checkpoint, repeats
        self.seconds, self.sizes = [], []

    def on_epoch_end(self, epoch, logs=None):
        adapter = adapt(self.model)
        unsaved = adapter.unsaved_variables(optimizer=True)
        copy = copier(keras.backend.backend())
        make = self.checkpoint._training(adapter, Moment(epoch + 1, None, "epoch", _logs=lambda: logs))
        memory = np.zeros(2**20, np.uint8)
        if epoch >= 19:
            for _ in range(self.repeats):
                started = time.perf_counter()
                block = make(unsaved)
                block.write_into(memory[: block.capacity], copy)
                self.seconds.append(time.perf_counter() - started)
                self.sizes.append(block.capacity)


def main():
    """Train and measure, then print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="number of repeats")
    arguments = parser.parse_args()
    x = np.random.default_rng(0).random((64, 16), np.float32)
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = ModelCheckpoint(f"{directory}/m.keras")
        measure = Measure(checkpoint, arguments.repeats)
        others = [keras.callbacks.EarlyStopping("loss", patience=99), keras.callbacks.ReduceLROnPlateau("loss")]
        build_model().fit(x, x[:, :1], epochs=20, verbose=0, callbacks=[checkpoint, *others, measure])
    result = {
        "backend": keras.backend.backend(),
        "seconds": {
            "median": statistics.median(measure.seconds),
            "min": min(measure.seconds),
            "max": max(measure.seconds),
        },
        "bytes": max(measure.sizes),
    }
    print(json.dumps(result))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"training_state-{result['backend']}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
