"""Compare saves and restores of a state that is split over two processes, with Keras's OrbaxCheckpoint.

Memory is the peak of each process above that of training, in copies of the whole state.

Run this script with ``make bench-hosts``. It starts two processes on this machine, with one device each, for each round
of each contender; the contenders take turns.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "several_processes.json"
CONTENDERS = {"lastgood .weights.h5": "m.weights.h5", "lastgood directory": "m", "OrbaxCheckpoint": "orbax"}
WHOLE = "lastgood .weights.h5, a whole state in each process"
CONTENDERS |= {WHOLE: "m.weights.h5"}
SIZE = 2  # processes
LAYERS = 16
SAVES = 4  # in each round, of which the first prepares memory and is dropped
MEMORY = ("memory of saves", "memory of a restore")
LONGEST = 540  # seconds for the processes of a round


def model_of(size, *, split):
    """Return a built model of ``size`` bytes with its optimizer, split over the devices or whole on each of them."""
    import jax
    import keras

    width = int((size / 3 / 4 / LAYERS) ** 0.5) // 64 * 64  # a weight has two values in Adam
    devices = jax.devices()
    if split:
        mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "model"], devices)
        layout = keras.distribution.LayoutMap(mesh)
        layout[".*kernel"] = (None, "model")
        distribution = keras.distribution.ModelParallel(
            layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
        )
    else:
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    layers = [keras.layers.Dense(width, use_bias=False, name=f"layer{number}") for number in range(LAYERS)]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile("adam", "mse")
    return model, width


def callback_of(contender, path):
    """Return a contender's callback, and the function that waits until its saves are durable."""
    import keras

    import lastgood

    if contender == "OrbaxCheckpoint":
        callback = keras.callbacks.OrbaxCheckpoint(str(path), monitor="loss", save_freq="epoch", max_to_keep=1)
        return callback, callback.wait_until_finished
    callback = lastgood.ModelCheckpoint(path, save_weights_only=True, background=True)
    return callback, callback.wait


def peak_from_now():
    """Begin to measure anew the most memory that this process has used at once."""
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Return the most memory, in bytes, that this process has used at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def process(contender, rank, port, size, directory):
    """Train, save and restore in one of the processes; print the seconds, and bytes of memory, as JSON."""
    import keras
    import numpy as np

    import lastgood

    keras.distribution.initialize(f"127.0.0.1:{port}", SIZE, rank)
    keras.utils.set_random_seed(0)
    model, width = model_of(size, split=contender != WHOLE)
    path = Path(directory, CONTENDERS[contender])
    callback, wait = callback_of(contender, path)
    times = []

    class Clock(keras.callbacks.Callback):
        """Notes when it is called; after the contender, it also waits for the save."""

        async_safe = True

        def __init__(self, *, waits):
            super().__init__()
            self.waits = waits

        def on_epoch_end(self, epoch, logs=None):
            times.append((time.perf_counter(), time.thread_time()))
            if self.waits:
                wait()
                times.append((time.perf_counter(), time.thread_time()))

    x = np.ones((4, width), "float32")
    model.fit(x, x, epochs=SAVES, verbose=0, callbacks=[Clock(waits=False)])
    times.clear()
    peak_from_now()
    model.fit(x, x, epochs=1, verbose=0, callbacks=[Clock(waits=False)])
    times.clear()
    trained = peak()
    model.fit(x, x, epochs=SAVES, verbose=0, callbacks=[Clock(waits=False), callback, Clock(waits=True)])
    saved = peak()
    peak_from_now()
    loaded, began = peak(), time.perf_counter()
    if contender == "OrbaxCheckpoint":
        model.load_weights(str(path))
    else:
        lastgood.load_weights(model, path)
    restored = time.perf_counter() - began
    loaded = peak() - loaded
    saves = [times[at : at + 3] for at in range(0, len(times), 3)][1:]
    found = {
        "hook": [after[0] - before[0] for before, after, _ in saves],
        "CPU in the hook": [after[1] - before[1] for before, after, _ in saves],
        "durable": [done[0] - before[0] for before, _, done in saves],
        "restore": [restored],
        "memory of saves": [saved - trained],
        "memory of a restore": [loaded],
        "bytes": sum(variable.value.nbytes for variable in [*model.variables, *model.optimizer.variables]),
    }
    print("\n" + json.dumps(found), flush=True)


def round_of(contender, size, directory):
    """Run both processes of a round; return what each found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"
    with tempfile.TemporaryDirectory(dir=directory) as run:
        line = [sys.executable, __file__, "--contender", contender, "--port", str(port), "--size", str(size)]
        started = [
            subprocess.Popen(
                [*line, "--rank", str(rank), "--directory", run], stdout=subprocess.PIPE, text=True, env=environment
            )
            for rank in range(SIZE)
        ]
        told = [each.communicate(timeout=LONGEST)[0] for each in started]
    if any(each.returncode for each in started):
        sys.exit(f"a process of {contender} has failed")
    return [json.loads(text.splitlines()[-1]) for text in told]


def main():
    """Alternate rounds of the contenders, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=3, help="number of rounds")
    parser.add_argument(
        "--directory", type=lambda text: Path(text).absolute(), default=HERE, help="directory for the checkpoints"
    )
    parser.add_argument("--result", type=Path, default=RESULTS, help="file for the results")
    parser.add_argument("--contender", choices=CONTENDERS, help="contender of this process; only in the processes")
    parser.add_argument("--rank", type=int, help="rank of this process")
    parser.add_argument("--port", type=int, help="port at which the processes meet")
    arguments = parser.parse_args()
    if arguments.contender:
        process(arguments.contender, arguments.rank, arguments.port, arguments.size * 1e9, arguments.directory)
        return
    runs = {name: {} for name in CONTENDERS}
    for _ in range(arguments.repeats):
        for contender, found in runs.items():
            first, other = round_of(contender, arguments.size, arguments.directory)
            kinds = {"hook, first process": first["hook"], "hook, other process": other["hook"]}
            kinds["CPU in the hook, other process"] = other["CPU in the hook"]
            kinds |= {kind: first[kind] for kind in ("durable", "restore")}
            for which, of_one in (("first", first), ("other", other)):
                for kind in MEMORY:
                    kinds[f"{kind}, {which} process"] = [each / first["bytes"] for each in of_one[kind]]
            for kind, values in kinds.items():
                found.setdefault(kind, []).extend(values)
            found["bytes"] = first["bytes"]
    stock = runs["OrbaxCheckpoint"]
    results = {"machine": platform.platform(), "cores": os.cpu_count(), "contenders": runs, "medians": {}, "ratios": {}}
    for name, found in runs.items():
        medians = {kind: statistics.median(values) for kind, values in found.items() if kind != "bytes"}
        results["medians"][name] = medians
        times = {kind: seconds for kind, seconds in medians.items() if not kind.startswith(MEMORY)}
        print(name, *(f"{kind} {seconds:.3f} s" for kind, seconds in times.items()), sep="; ", flush=True)
        copies = {kind: copies for kind, copies in medians.items() if kind.startswith(MEMORY)}
        print("copies of the state", *(f"{kind} {each:.2f}" for kind, each in copies.items()), sep="; ", flush=True)
        if name != WHOLE and found is not stock:
            ratios = {kind: statistics.median(stock[kind]) / seconds for kind, seconds in times.items()}
            results["ratios"][name] = ratios
            print("OrbaxCheckpoint / this", *(f"{kind} {ratio:.1f}" for kind, ratio in ratios.items()), sep="; ")
    arguments.result.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
