"""Compare ways to copy JAX arrays from a GPU to the host, as a snapshot does, and print their seconds as JSON.

Run this script with ``make bench-gpu``.
"""

import json
import statistics
import sys
import time

import jax
import numpy as np

from lastgood._snapshot import on_jax, staging
from lastgood._snapshot.copying import copy_arrays

WIDTH, COUNT, REPEATS = 4082, 24, 4  # 1.6 GB


def by_numpy(arrays, destinations):
    """Copy each array with NumPy, to new memory that is not pinned."""
    copy_arrays(map(np.asarray, arrays), destinations)


def at_once(arrays, destinations):
    """Start copying all arrays to new memory that is not pinned, then wait for one after another."""
    for array in arrays:
        array.copy_to_host_async()
    copy_arrays(map(np.asarray, arrays), destinations)


def through_pinned_memory(arrays, destinations):
    """Copy the arrays to pinned memory, one group after another, and from there to their destinations."""
    copy_arrays(on_jax.fetched(arrays), destinations)


def seconds(fetch, arrays, destinations):
    """Return the seconds of each repeat, in which ``fetch`` copies new arrays."""
    step = jax.jit(lambda before: [array + 1 for array in before], donate_argnums=0)
    found = []
    for _ in range(REPEATS):
        arrays = jax.block_until_ready(step(arrays))
        started = time.perf_counter()
        fetch(arrays, destinations)
        found.append(time.perf_counter() - started)
        if any(there[0, 0] != np.asarray(array[0, 0]) for there, array in zip(destinations, arrays, strict=True)):
            sys.exit(f"{fetch.__name__} copied wrong values")
    return found


def main():
    """Measure each way, and print the results."""
    size = 4 * WIDTH**2
    memory = staging.shared(COUNT * size)
    destinations = [
        memory[at : at + size].view(np.float32).reshape(WIDTH, WIDTH) for at in range(0, COUNT * size, size)
    ]
    found = {"device": jax.devices()[0].device_kind, "bytes": COUNT * size}
    for fetch in (by_numpy, at_once, through_pinned_memory):
        arrays = [jax.numpy.full((WIDTH, WIDTH), float(number)) for number in range(COUNT)]
        taken = seconds(fetch, arrays, destinations)
        found[fetch.__name__] = {"first": taken[0], "then": statistics.median(taken[1:])}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
