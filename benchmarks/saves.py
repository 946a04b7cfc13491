"""Measure what a save costs with stock Keras, OrbaxCheckpoint and lastgood.

Each save is compared with training steps before and after it, and the contenders take turns (``pairs.py``). A plain
memory copy and a plain write are the limits of the machine. Each figure is a median, with its 95 % interval. This
script prints a table for each backend, and writes JSON and a chart to ``benchmarks/results/``. Run it with
``make bench``.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import chart
import figures
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BACKENDS = ("jax", "torch", "tensorflow")
PARTS = ("saves", "others", "restores", "memory", "scales")
# These make malloc keep freed memory. Without them, the memory of PyTorch's gradients returns to the system after each
# training step and is mapped again, page by page, in the next. Steps then take 0.6 to 2 s, at random, instead of
# 0.18 s, which hides the cost of a save.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
RESTORES = (
    (".weights.h5", "stock load_weights", "lastgood.load_weights"),
    (".keras", "stock load_model", "lastgood.load_model"),
)
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


def measure(backend, arguments, known):
    """Return the results of one backend, in lists of values.

    Args:
        backend: The backend.
        arguments: The arguments of this script, which choose the parts.
        known: The results of earlier runs on this backend, summarized.
    """
    chosen = arguments.parts.split(",")
    found = run("saves", backend, arguments) if "saves" in chosen else {}
    contenders = list(found.get("fit", ()))
    if "others" in chosen:
        merge(found, run("others", backend, arguments))
    if "restores" in chosen:
        found["restore"] = {}
        for name, count in {**known.get("loads", {}), **found.get("loads", {})}.items():
            for load in [load for load in range(count) for _ in range(arguments.repeats)]:
                restored = run("restore", backend, arguments, "--contender", name, "--load", str(load))
                for way, seconds in restored.items():
                    found["restore"].setdefault(way, []).append(seconds)
    if "memory" in chosen:
        peaks = {name: run("memory", backend, arguments, "--contender", name)["peak"] for name in ["", *contenders]}
        found["memory"] = {name: (peaks[name] - peaks[""]) / found["bytes"] for name in contenders}
    if "scales" in chosen:
        found["scales"] = run("scales", backend, arguments)
        found["line"] = figures.line(found["scales"]["growth"])
    return found


def merge(results, others):
    """Add other results to some, in place, wherever there are none yet."""
    for key, values in others.items():
        results[key] = {**values, **results.get(key, {})} if isinstance(values, dict) else results.get(key, values)


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
    size, step = found["bytes"] / 1e9, found["step"]["median"]
    title = f"{backend} on {found['device']}: {size:.2f} GB of state, {step:.4f} s per training step"
    table = Table(title=title, caption="in brackets: 95 % interval of the median")
    headings = (
        "",
        "added to fit, s",
        "CPU, s",
        "in the hook, s",
        "until durable, s",
        "× raw write",
        "copies in memory",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right")
    for name, cost in found["fit"].items():
        durable = found["durable"][name]
        memory = found["memory"].get(name)
        cells = [spread(each) for each in (cost, found["cpu"][name], found["hook"][name], durable)]
        copies = "" if memory is None else f"{memory:.2f}"
        table.add_row(name, *cells, f"{durable['median'] / baseline:.2f}", copies)
    console.print(table)
    for what, pairing in found["pairing"].items():
        console.print(
            f"{what}: {pairing['pairs']} saves; repeated because the machine was not quiet: {pairing['repeated']}; "
            f"counted although it was not: {pairing['noisy']}"
        )
    speed = found["bytes"] / baseline / 1e9
    console.print(f"raw write and fsync: {spread(limits['write and fsync'])} s ({speed:.2f} GB/s)")
    factor = found["snapshot"]["median"] / limits["memcpy"]["median"]
    console.print(f"memcpy: {spread(limits['memcpy'])} s; new memory: {spread(limits['new memory'])} s")
    console.print(f"snapshot: {spread(found['snapshot'])} s ({factor:.2f} × memcpy)")
    if "device to host" in limits:
        console.print(f"plain copy from the GPU: {limits['device to host']['median']:.3f} s")
    for name, seconds in found["restore"].items():
        console.print(f"restore: {name:45} {spread(seconds)} s")
    for name, values in found.get("scales", {}).items():
        for key, seconds in values.items():
            console.print(f"{name} {key}: {spread(seconds, 5)} s")
    if "line" in found:
        line = found["line"]
        console.print(
            f"growth: {line['begin']:.3f} s and {line['slope']:.3f} s per GB; no size is more than "
            f"{line['largest error']:.0%} away from that line"
        )
    for name, factor in found["ratios"].items():
        console.print(f"ratio: {name:60} {spread({**factor, 'median': factor['ratio']}, 2)}")


def spread(value, digits=3):
    """Format a median with its 95 % interval."""
    if value["low"] is None:
        return f"{value['median']:.{digits}f}"
    return f"{value['median']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"


def ratios(found):
    """Return, for each comparison, how many times as long as lastgood the other contender takes."""
    ours = {ending: f"lastgood {ending}" for ending in (".keras", ".weights.h5")}
    pairs = [(f"stock {ending}", name) for ending, name in ours.items()]
    pairs += [("OrbaxCheckpoint", ours[".keras"])]
    fit, durable, restore = (found.get(part, {}) for part in ("fit", "durable", "restore"))
    pairs += [(name, ours[".weights.h5"]) for name in fit if not name.startswith(("stock", "lastgood"))]
    factors = {}
    for theirs, mine in pairs if fit else ():
        factors[f"fit, {theirs} / {mine}"] = figures.ratio(fit[theirs], fit[mine])
    for ending, theirs, mine in RESTORES if restore else ():
        ways = [restore[f"{ours[ending]}, {way}"] for way in (theirs, mine)]
        factors[f"restore {ending}, {theirs} / {mine}"] = figures.ratio(*ways)
    for name in ours.values() if durable else ():
        raw = found["limits"]["write and fsync"]
        factors[f"durable, {name} / raw write"] = figures.ratio(durable[name], raw)
    return factors


def main():
    """Measure, print the tables, and write the results and the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument("--every", type=int, default=6, help="training steps beside each save, at the least")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="backends, separated by commas")
    parser.add_argument(
        "--parts",
        default=",".join(PARTS),
        help="what to measure: saves, formats that others write for lastgood, restores, peak memory, and models of "
        "other sizes; what is left out keeps its earlier results (memory needs saves)",
    )
    parser.add_argument("--directory", type=Path, default=HERE, help="directory for the checkpoints")
    parser.add_argument("--name", default="saves", help="name of the result files, without a suffix")
    arguments = parser.parse_args()
    console = Console(width=170)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{arguments.name}.json"
    results = json.loads(path.read_text()) if path.exists() else {}  # keeps the results of other backends
    results |= {"machine": platform.platform(), "cores": os.cpu_count(), "versions": versions()}
    for backend in arguments.backends.split(","):
        known = results.setdefault("backends", {}).setdefault(backend, {})
        measured = measure(backend, arguments, known)
        found = {**figures.summarize(measured), "ratios": ratios(measured)}
        merge(found, known)
        show(console, backend, found)
        results["backends"][backend] = found
        path.write_text(json.dumps(results, indent=1) + "\n")
    chart.draw(results["backends"], RESULTS / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
