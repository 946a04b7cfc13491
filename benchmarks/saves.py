"""The cost of saves with no callback, stock Keras, OrbaxCheckpoint and lastgood, and the machine's limits.

Prints a table, and writes JSON and a chart to `benchmarks/results/`. Run it with `make bench`. The contenders take
turns, so that a slow minute of the machine affects all of them; each figure is a median, with minimum and maximum.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import chart
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BACKENDS = ("jax", "torch", "tensorflow")
# PyTorch returns the memory of a step's gradients to the system and takes it again, page by page, in the next: steps
# then take 0.6 to 2 s, at random, rather than 0.18 s, which hides the cost of a save.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
PACKAGES = ("keras", "jax", "torch", "tensorflow", "tensorflow-cpu", "orbax-checkpoint", "numpy", "h5py")


def run(what, backend, arguments, *options):
    """Measure in a separate process; return its results."""
    command = [sys.executable, str(HERE / "measure.py"), what, "--size", str(arguments.size), *options]
    command += ["--repeats", str(arguments.repeats), "--every", str(arguments.every)]
    command += ["--directory", str(arguments.directory)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "torch" and what != "memory":
        environment |= KEEP_MEMORY
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} on {backend} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(backend, arguments):
    """Return all results for one backend."""
    found = run("saves", backend, arguments)
    names = list(found["fit"])
    if arguments.others:
        others = run("others", backend, arguments)
        for part in ("fit", "hook", "durable", "loads"):
            found[part] |= others[part]
    found["restore"] = {}
    for name, count in found.pop("loads").items():
        for load in range(count if arguments.restores else 0):
            found["restore"] |= run("restore", backend, arguments, "--contender", name, "--load", str(load))
    found["memory"] = {}
    if arguments.memory:
        memory = {name: run("memory", backend, arguments, "--contender", name)["peak"] for name in ["", *names]}
        found["memory"] = {name: (memory[name] - memory[""]) / found["bytes"] for name in names}
    if arguments.scales:
        found["scales"] = run("scales", backend, arguments)
    return found


def middle(values):
    """Return the median, the minimum and the maximum of seconds, and their number."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "count": len(values)}


def summarize(node):
    """Return the results with each list of values replaced by its median, minimum and maximum."""
    if isinstance(node, list):
        return middle(node)
    return {key: summarize(value) for key, value in node.items()} if isinstance(node, dict) else node


def versions():
    """Return the versions of the compared packages that are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def show(console, backend, found):
    """Print one backend's figures."""
    limits = found["limits"]
    baseline = limits["write and fsync"]["median"]
    size, step = found["bytes"] / 1e9, found["step"]
    table = Table(title=f"{backend} on {found['device']}: {size:.2f} GB of state, a step takes {step:.4f} s")
    for heading in ("", "fit s a save", "s to durable", "of raw write", "memory, copies"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, cost in found["fit"].items():
        durable = found["durable"][name]
        memory = found["memory"].get(name)
        copies = "" if memory is None else f"{memory:.2f}"
        table.add_row(name, spread(cost), spread(durable), f"{durable['median'] / baseline:.2f}", copies)
    console.print(table)
    speed = found["bytes"] / baseline / 1e9
    console.print(f"raw write and fsync {spread(limits['write and fsync'])} s ({speed:.2f} GB/s)")
    factor = found["snapshot"]["median"] / limits["memcpy"]["median"]
    console.print(f"memcpy {spread(limits['memcpy'])} s, snapshot {spread(found['snapshot'])} s: {factor:.2f} of it")
    if "device to host" in limits:
        console.print(f"one plain copy from the GPU {limits['device to host']['median']:.3f} s")
    for name, seconds in found["restore"].items():
        console.print(f"restore: {name:45} {spread(seconds)} s")
    for name, figures in found.get("scales", {}).items():
        for key, seconds in figures.items():
            console.print(f"{name} {key}: {spread(seconds, 5)} s")
    for name, ratio in ratios(found).items():
        console.print(f"ratio: {name:60} {ratio:.2f}")


def spread(figures, digits=3):
    """Return a median with its minimum and maximum, as text."""
    return f"{figures['median']:.{digits}f} ({figures['min']:.{digits}f} to {figures['max']:.{digits}f})"


def ratios(found):
    """Return how many times less lastgood costs than another contender, by comparison."""
    fit = {name: figures["median"] for name, figures in found["fit"].items()}
    ours = {"keras": fit["lastgood .keras"], "weights": fit["lastgood .weights.h5"]}
    factors = {
        "fit, stock .keras / lastgood .keras": fit["stock .keras"] / ours["keras"],
        "fit, stock .weights.h5 / lastgood .weights.h5": fit["stock .weights.h5"] / ours["weights"],
        "fit, OrbaxCheckpoint / lastgood .weights.h5": fit["OrbaxCheckpoint"] / ours["weights"],
        "fit, OrbaxCheckpoint / lastgood .keras": fit["OrbaxCheckpoint"] / ours["keras"],
    }
    restore = {name: figures["median"] for name, figures in found["restore"].items()}
    for ending, theirs in ((".weights.h5", "stock load_weights"), (".keras", "stock load_model")):
        ours_takes = restore.get(f"lastgood {ending}, lastgood.load_weights")
        if ours_takes:
            factors[f"restore {ending}, {theirs} / lastgood"] = restore[f"lastgood {ending}, {theirs}"] / ours_takes
    return factors


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="gigabytes (10^9 bytes) of state")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--every", type=int, default=6, help="steps between saves")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    switch = {"action": argparse.BooleanOptionalAction, "default": True}
    parser.add_argument("--others", help="also the formats that others write and lastgood commits", **switch)
    parser.add_argument("--restores", help="also what restoring takes", **switch)
    parser.add_argument("--memory", help="also the peak of memory", **switch)
    parser.add_argument("--scales", help="also small models, many variables, growing models", **switch)
    parser.add_argument("--directory", type=Path, default=HERE, help="where to write checkpoints")
    parser.add_argument("--name", default="saves", help="name of the result files")
    arguments = parser.parse_args()
    console = Console(width=120)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{arguments.name}.json"
    results = json.loads(path.read_text()) if path.exists() else {}  # keeps the results for other backends
    results |= {"machine": platform.platform(), "cores": os.cpu_count(), "versions": versions()}
    for backend in arguments.backends.split(","):
        found = summarize(measure(backend, arguments))
        show(console, backend, found)
        results.setdefault("backends", {})[backend] = {**found, "ratios": ratios(found)}
        path.write_text(json.dumps(results, indent=1) + "\n")
    chart.draw(results["backends"], RESULTS / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
