"""Measure one backend in a process of its own, and print the results as JSON. ``saves.py`` runs this script."""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import contenders
import numpy as np
import pairs
import peers
import workloads
from disk_writes import seconds_to_durable

import lastgood
from lastgood._snapshot import staging

SAVES = 2  # of each contender in a repeat
PARTS = ("fit", "cpu", "hook")
MIB = 2**20


def step_times(model, width, callbacks, steps):
    """Train for ``steps`` steps; return the times before and after the callbacks' hooks at the end of each step."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.ends = []

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(time.perf_counter())

    before, after = Clock(), Clock()
    x, size = workloads.batches(width, steps)
    model.fit(x, x, batch_size=size, shuffle=False, verbose=0, callbacks=[before, *callbacks, after])
    return before.ends, after.ends


def fit_costs(what, model, width, chosen, saves, directory, every):
    """Return what saves cost ``fit()`` by contender, and how quiet the machine was in this part, ``what``."""
    with tempfile.TemporaryDirectory(dir=directory) as run:
        turns = pairs.measure(model, width, chosen, saves, every, Path(run))
    found = {part: {name: getattr(costs, part) for name, costs in turns.costs.items()} for part in PARTS}
    pairing = {"pairs": saves * len(chosen), "repeated": turns.repeated, "noisy": turns.noisy}
    return {**found, "step": turns.step, "pairing": {what: pairing}}


def durable_saves(model, chosen, repeats, directory):
    """Return the seconds until a save is durable, by contender, those of the limits, and those of a snapshot."""
    durable, snapshots = {contender.name: [] for contender in chosen}, []
    limits = {"memcpy": [], "new memory": [], "write and fsync": []}
    size = workloads.state_bytes(model)
    fetched = workloads.fetch_seconds(size)
    if fetched:
        limits["device to host"] = [fetched]
    for _ in range(repeats):
        for name, seconds in raw_limits(size, directory).items():
            limits[name].append(seconds)
        for contender in chosen:
            with tempfile.TemporaryDirectory(dir=directory) as run:
                path = Path(run, contender.path)
                durable[contender.name].append(contenders.save_durably(contender, model, path))
        with tempfile.TemporaryDirectory(dir=directory) as run:
            snapshots += [snapshot_seconds(model, Path(run, "m.weights.h5"))]
    return {"durable": durable, "limits": limits, "snapshot": snapshots}


def restore_once(size, name, load, directory):
    """Return the seconds of a restore in one of a contender's ways.

    Each restore has a process to itself, as after a restart: others before it would leave memory behind, or none.
    """
    model, _ = workloads.dense(size)
    contender = by_name(name)
    by, restore = contender.restores[load]
    with tempfile.TemporaryDirectory(dir=directory) as run:
        path = Path(run, contender.path)
        contenders.save_durably(contender, model, path)
        warm(Path(run))
        started = time.perf_counter()
        restore(model, path)
        return {f"{name}, {by}": time.perf_counter() - started}


def by_name(name):
    """Return the contender with this name."""
    return next(c for c in (*contenders.MAIN, *peers.here(), *contenders.OTHERS) if c.name == name)


def raw_limits(size, directory):
    """Return the seconds for ``size`` bytes: a copy without page faults, new memory, and a direct write with fsync."""
    memory = staging.shared(size)[: size // staging.PAGE * staging.PAGE]
    source = np.ones(len(memory), np.uint8)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        np.copyto(memory, source)
        seconds.append(time.perf_counter() - started)
    del source
    started = time.perf_counter()
    np.empty(size, np.uint8)[:: staging.PAGE] = 1  # a virtual machine may have to get it from its host
    new = time.perf_counter() - started
    path = Path(directory, "raw")
    written, _ = seconds_to_durable(path, memory, direct=True, chunk=16 * MIB, threads=1, reserve=True)
    return {"memcpy": seconds[-1], "new memory": new, "write and fsync": written}


def snapshot_seconds(model, path):
    """Return the seconds that training waits for the second snapshot of a model."""
    callback = lastgood.ModelCheckpoint(path, save_weights_only=True)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_end(epoch, {})
        callback.wait()
    return callback.stats[-1].snapshot


def warm(directory):
    """Read all files once, so that restores read the page cache and the comparison leaves out the disk."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(16 * MIB):
                    pass


def scales(directory, repeats):
    """Measure saves of a small model, of many variables, and of models of growing size."""
    model, width = workloads.dense(1e6)
    chosen = [c for c in contenders.MAIN if c.name.startswith("lastgood")]
    small = fit_costs("small model", model, width, chosen, 10 * repeats, directory, every=60)
    variables, growth = {}, {}
    for _ in range(repeats):
        for count in (1, 10_000):
            model = workloads.Variables(1e9, count)
            with tempfile.TemporaryDirectory(dir=directory) as run:
                variables.setdefault(count, []).append(snapshot_seconds(model, Path(run, "m.weights.h5")))
        for size in (0.01, 0.1, 1, 4):
            model = workloads.Variables(size * 1e9, 16)
            with tempfile.TemporaryDirectory(dir=directory) as run:
                seconds = contenders.save_durably(contenders.MAIN[-1], model, Path(run, "m.weights.h5"))
            growth.setdefault(size, []).append(seconds)
            del model
    costs = {f"small model, {part}": small[part] for part in PARTS}
    return {**costs, "variables": variables, "growth": growth}


def peak_memory(size, name, directory):
    """Return the peak memory of this process in bytes after a fit, with two saves if a contender is named."""
    model, width = workloads.dense(size)
    chosen = [by_name(name)] if name else []
    with tempfile.TemporaryDirectory(dir=directory) as run:
        callbacks = [contender.callback(Path(run, contender.path), 3) for contender in chosen]
        step_times(model, width, callbacks, 8)
        for contender, callback in zip(chosen, callbacks, strict=True):
            contender.wait(callback)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    """Measure what the arguments select, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["saves", "others", "restore", "scales", "memory"], help="what to measure")
    parser.add_argument("--size", type=float, required=True, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, required=True, help="number of repeats")
    parser.add_argument("--every", type=int, required=True, help="training steps between saves")
    parser.add_argument(
        "--directory", type=lambda text: Path(text).absolute(), required=True, help="directory for the checkpoints"
    )
    parser.add_argument("--contender", default="", help="name of the contender, for restore and memory")
    parser.add_argument("--load", type=int, default=0, help="index of the contender's way to restore")
    arguments = parser.parse_args()
    output, sys.stdout = sys.stdout, sys.stderr
    size, repeats, directory = arguments.size * 1e9, arguments.repeats, arguments.directory
    if arguments.what == "memory":
        result = {"peak": peak_memory(size, arguments.contender, directory)}
    elif arguments.what == "restore":
        result = restore_once(size, arguments.contender, arguments.load, directory)
    elif arguments.what == "scales":
        result = scales(directory, repeats)
    else:
        chosen = (*contenders.MAIN, *peers.here()) if arguments.what == "saves" else contenders.OTHERS
        model, width = workloads.dense(size)
        result = fit_costs(arguments.what, model, width, chosen, SAVES * repeats, directory, arguments.every)
        result |= {"bytes": workloads.state_bytes(model), "device": workloads.device()}
        result |= durable_saves(model, chosen, repeats, directory)
        result["loads"] = {contender.name: len(contender.restores) for contender in chosen}
    output.write(json.dumps(result) + "\n")
    output.flush()
    os._exit(0)  # skips the backend's slow shutdown


if __name__ == "__main__":
    main()
