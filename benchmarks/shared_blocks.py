"""Measure what a save costs on a file system where files share blocks.

Three kinds of save take turns: with few bytes changed, with all bytes changed, and with all bytes changed but without
sharing. Run this script on XFS or Btrfs, with ``make bench-sharing BENCH="--directory DIRECTORY"``.
"""

import argparse
import json
import statistics
import tempfile
import time
import unittest.mock
from pathlib import Path

import numpy as np

from lastgood._snapshot import staging
from lastgood._storage import Image, Span
from lastgood._storage.local import LocalStorage
from lastgood._storage.systems import SYSTEM, System

RESULTS = Path(__file__).parent / "results"
MIB = 2**20
WAYS = {"5 % changed": (0.05, True), "all changed": (1.0, True), "all changed, not shared": (1.0, False)}


def cost_of_a_save(storage, path, memory, *, shares):
    """Save ``memory``; return the seconds until it is durable, the CPU seconds, and the bytes written and read."""
    refuse = unittest.mock.patch.object(type(SYSTEM), "share", System.share)
    image = Image(memory, Span(0, len(memory)), lambda: (len(memory), []), lambda stop: None)
    before, cpu, started = _io(), time.process_time(), time.perf_counter()
    with storage.stage(path, "") as stage:
        if shares:
            stage.write_image("", image, lambda written: None)
        else:
            with refuse:
                stage.write_image("", image, lambda written: None)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, **{name: _io()[name] - before[name] for name in before}}


def _io():
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"written": int(lines["write_bytes"]), "read": int(lines["read_bytes"])}


def main():
    """Measure each way, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the file in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=7, help="number of repeats")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="directory for the files")
    parser.add_argument("--name", default="shared_blocks", help="name of the result file, without a suffix")
    arguments = parser.parse_args()
    size = int(arguments.size * 1e9) // MIB * MIB
    memory = staging.shared(size)[:size]
    noise = np.random.default_rng(0).integers(0, 256, MIB, np.uint8)
    for number, at in enumerate(range(0, len(memory), MIB)):
        memory[at : at + MIB] = noise + np.uint8(number % 251)
    found = {way: [] for way in WAYS}
    storages = {way: LocalStorage() for way in WAYS}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for number in range(arguments.repeats + 1):
            for place, (way, (part, shares)) in enumerate(WAYS.items()):
                changed, by = memory[: int(len(memory) * part)], np.uint8(number + 1)
                changed += by
                path = Path(directory, f"{place}-{number}")
                cost = cost_of_a_save(storages[way], path, memory, shares=shares)
                changed -= by  # each way starts from the same content
                Path(directory, f"{place}-{number - 1}").unlink(missing_ok=True)
                found[way] += [cost] if number else []
    results = {"bytes": len(memory), "repeats": arguments.repeats, "ways": {}}
    for way, costs in found.items():
        row = {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
        row |= {"min": min(cost["seconds"] for cost in costs), "max": max(cost["seconds"] for cost in costs)}
        results["ways"][way] = {name: round(value, 3) for name, value in row.items()}
        print(f"{way:24}", results["ways"][way])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
