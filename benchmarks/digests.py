"""Measure what the digests, which the writer computes while training continues, cost ``fit()``.

Saves with and without digests take turns (``pairs.py``). To compute them during the copy instead, while the bytes are
in the cache, would take them out of the writer; the script also measures how much longer such a copy takes. Run it
with ``make bench-digests``.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import figures
import numpy as np
import pairs
import workloads
from contenders import Contender
from isal import isal_zlib

import lastgood
from lastgood._bytes import digests
from lastgood._threads import cores, spread

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "digests.json"
PART = 512 * 1024  # bytes that are copied, then digested from the cache


class Without:
    """A stand-in for the library that computes digests."""

    @staticmethod
    def crc32(*_):
        return 0


class Switched:
    """A callback that saves with digests, or without."""

    def __init__(self, callback, library):
        self._callback, self._library = callback, library

    def __getattr__(self, name):
        return getattr(self._callback, name)

    def on_train_batch_end(self, batch, logs=None):
        digests.isal_zlib = self._library
        self._callback.on_train_batch_end(batch, logs)


def contender(name, library):
    """Return a contender that saves ``.weights.h5`` files."""

    def make(path, every):
        callback = lastgood.ModelCheckpoint(path, save_weights_only=True, save_freq=every, background=True)
        return Switched(callback, library)

    return Contender(name, "m.weights.h5", make, lambda callback: callback.wait())


def copies(size, repeats):
    """Return the seconds of a copy by all cores, of one that also digests each part, and of the digests by one core."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    share = size // cores()
    shares = [slice(at * share, (at + 1) * share) for at in range(cores())]

    def copy(own):
        for each in own:
            np.copyto(target[each], source[each])

    def copy_and_digest(own):
        for each in own:
            crc = 0
            for at in range(each.start, each.stop, PART):
                part = slice(at, min(at + PART, each.stop))
                np.copyto(target[part], source[part])
                crc = isal_zlib.crc32(target[part], crc)

    ways = {
        "copy": lambda: spread(copy, shares, cores()),
        "copy and digest in parts": lambda: spread(copy_and_digest, shares, cores()),
        "digest by one thread": lambda: isal_zlib.crc32(target),
    }
    found = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            found[name].append(time.perf_counter() - began)
    return {name: seconds[1:] for name, seconds in found.items()}


def main():
    """Measure, print the figures, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=12, help="number of saves with digests, and of those without")
    parser.add_argument("--directory", type=Path, default=HERE, help="directory for the checkpoints")
    arguments = parser.parse_args()
    chosen = [contender("with digests", isal_zlib), contender("without digests", Without)]
    model, width = workloads.dense(arguments.size * 1e9)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as run:
        turns = pairs.measure(model, width, chosen, arguments.repeats, 6, Path(run))
    results = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "size": arguments.size,
        "saves": {name: figures.summarize(vars(costs)) for name, costs in turns.costs.items()},
        "pairing": {"repeated": turns.repeated, "noisy": turns.noisy},
        "copies": figures.summarize(copies(int(arguments.size * 1e9), arguments.repeats)),
    }
    for name, costs in results["saves"].items():
        print(name, *(f"{kind} {each['median']:.3f} s" for kind, each in costs.items()), sep="; ")
    for name, seconds in results["copies"].items():
        print(f"{name}: {seconds['median']:.3f} s")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    os._exit(0)  # skips the backend's slow shutdown


if __name__ == "__main__":
    main()
