"""Measure how long it takes to make bytes in memory durable, for several ways to write them.

The ways differ in whether writes are buffered or direct, how large they are, how many threads make them, and whether
space is reserved first. The results led to the design of ``lastgood/_storage/direct.py``. Run this script with
``make bench-disk``.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from lastgood._snapshot import staging

RESULTS = Path(__file__).parent / "results"
MIB = 2**20


def seconds_to_durable(path, memory, *, direct, chunk, threads, reserve):
    """Write ``memory`` to a new file and sync it; return the elapsed seconds and the CPU seconds of this process."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_DIRECT if direct else 0)
    started, cpu = time.perf_counter(), time.process_time()
    descriptor = os.open(path, flags)
    if reserve:
        os.posix_fallocate(descriptor, 0, len(memory))

    def write(index):
        for at in range(index * chunk, len(memory), threads * chunk):
            os.pwrite(descriptor, memory[at : at + chunk].data, at)

    others = [threading.Thread(target=write, args=(index,)) for index in range(1, threads)]
    for other in others:
        other.start()
    write(0)
    for other in others:
        other.join()
    os.fsync(descriptor)
    os.close(descriptor)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    path.unlink()
    return seconds, cpu


def main():
    """Measure each way, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the file in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="directory for the files")
    arguments = parser.parse_args()
    memory = staging.shared(int(arguments.size * 1e9) // staging.PAGE * staging.PAGE)
    noise = np.random.default_rng(0).integers(0, 256, MIB, np.uint8)
    for at in range(0, len(memory), MIB):
        memory[at : at + MIB] = noise[: len(memory) - at]
    ways = [
        {"direct": direct, "chunk": chunk * MIB, "threads": threads, "reserve": reserve}
        for direct, chunk, threads, reserve in itertools.product((False, True), (1, 4, 16, 64), (1, 2), (False, True))
    ]
    times = [[] for _ in ways]
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for _ in range(arguments.repeats):
            for way, found in zip(ways, times, strict=True):
                found.append(seconds_to_durable(Path(directory, "file"), memory, **way))
    rows = []
    for way, found in zip(ways, times, strict=True):
        seconds = [each[0] for each in found]
        rows.append(
            {
                **way,
                "seconds": round(statistics.median(seconds), 3),
                "min": round(min(seconds), 3),
                "max": round(max(seconds), 3),
                "cpu_seconds": round(statistics.median(each[1] for each in found), 3),
            }
        )
    rows.sort(key=lambda row: row["seconds"])
    print(f"{len(memory) / 1e9:.2f} GB, {arguments.repeats} repeats, median seconds until durable (minimum to maximum)")
    for row in rows:
        how = f"{'direct' if row['direct'] else 'buffered':9}{row['chunk'] // MIB:>3} MiB, threads: {row['threads']}"
        reserved = "reserved" if row["reserve"] else "not reserved"
        print(
            f"  {how}, {reserved:13}{row['seconds']:.3f} ({row['min']} to {row['max']}), CPU {row['cpu_seconds']:.3f}"
        )
    RESULTS.mkdir(exist_ok=True)
    result = {"bytes": len(memory), "repeats": arguments.repeats, "rows": rows}
    (RESULTS / "disk_writes.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
