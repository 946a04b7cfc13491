"""Measure what a save costs with stock Keras, OrbaxCheckpoint and lastgood.

Training without a callback is the baseline. A plain memory copy and a plain write are the limits of the machine. The
contenders take turns, so that a slow minute of the machine affects all of them. Each figure is a median, with minimum
and maximum. This script prints a table for each backend, and writes JSON and a chart to ``benchmarks/results/``. Run it
with ``make bench``.
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
# These make malloc keep freed memory. Without them, the memory of PyTorch's gradients returns to the system after each
# training step and is mapped again, page by page, in the next. Steps then take 0.6 to 2 s, at random, instead of
# 0.18 s, which hides the cost of a save.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
PACKAGES = ("keras", "jax", "torch", "tensorflow", "tensorflow-cpu", "orbax-checkpoint", "numpy", "h5py")


def run(what, backend, arguments, *options):
    """Run ``measure.py`` in a process of its own; return its results."""
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
    """Return all results of one backend."""
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
    """Return the median, minimum, maximum and count of some values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "count": len(values)}


def summarize(node):
    """Return the results with each list of values replaced by its median, minimum, maximum and count."""
    if isinstance(node, list):
        return middle(node)
    return {key: summarize(value) for key, value in node.items()} if isinstance(node, dict) else node


def versions():
    """Return the versions of those ``PACKAGES`` that are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def show(console, backend, found):
    """Print the figures of one backend."""
    limits = found["limits"]
    baseline = limits["write and fsync"]["median"]
    size, step = found["bytes"] / 1e9, found["step"]
    table = Table(title=f"{backend} on {found['device']}: {size:.2f} GB of state, {step:.4f} s per training step")
    for heading in ("", "added to fit, s", "until durable, s", "× raw write", "copies in memory"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, cost in found["fit"].items():
        durable = found["durable"][name]
        memory = found["memory"].get(name)
        copies = "" if memory is None else f"{memory:.2f}"
        table.add_row(name, spread(cost), spread(durable), f"{durable['median'] / baseline:.2f}", copies)
    console.print(table)
    speed = found["bytes"] / baseline / 1e9
    console.print(f"raw write and fsync: {spread(limits['write and fsync'])} s ({speed:.2f} GB/s)")
    factor = found["snapshot"]["median"] / limits["memcpy"]["median"]
    console.print(f"memcpy: {spread(limits['memcpy'])} s")
    console.print(f"snapshot: {spread(found['snapshot'])} s ({factor:.2f} × memcpy)")
    if "device to host" in limits:
        console.print(f"plain copy from the GPU: {limits['device to host']['median']:.3f} s")
    for name, seconds in found["restore"].items():
        console.print(f"restore: {name:45} {spread(seconds)} s")
    for name, figures in found.get("scales", {}).items():
        for key, seconds in figures.items():
            console.print(f"{name} {key}: {spread(seconds, 5)} s")
    for name, ratio in ratios(found).items():
        console.print(f"ratio: {name:60} {ratio:.2f}")


def spread(figures, digits=3):
    """Format a median with its minimum and maximum."""
    return f"{figures['median']:.{digits}f} ({figures['min']:.{digits}f} to {figures['max']:.{digits}f})"


def ratios(found):
    """Return, for each comparison, how many times as long as lastgood the other contender takes."""
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
    """Measure, print the tables, and write the results and the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument("--every", type=int, default=6, help="training steps between saves")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="backends, separated by commas")
    switch = {"action": argparse.BooleanOptionalAction, "default": True}
    parser.add_argument(
        "--others", help="also measure formats that stock Keras or Orbax writes and lastgood commits", **switch
    )
    parser.add_argument("--restores", help="also measure restores", **switch)
    parser.add_argument("--memory", help="also measure peak memory", **switch)
    parser.add_argument("--scales", help="also measure small models, many variables and growing models", **switch)
    parser.add_argument("--directory", type=Path, default=HERE, help="directory for the checkpoints")
    parser.add_argument("--name", default="saves", help="name of the result files, without a suffix")
    arguments = parser.parse_args()
    console = Console(width=120)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{arguments.name}.json"
    results = json.loads(path.read_text()) if path.exists() else {}  # keeps the results of other backends
    results |= {"machine": platform.platform(), "cores": os.cpu_count(), "versions": versions()}
    for backend in arguments.backends.split(","):
        found = summarize(measure(backend, arguments))
        show(console, backend, found)
        results.setdefault("backends", {})[backend] = {**found, "ratios": ratios(found)}
        path.write_text(json.dumps(results, indent=1) + "\n")
    chart.draw(results["backends"], RESULTS / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
