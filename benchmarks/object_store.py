"""Compare saves to a bucket and loads from it with raw requests of the same size, and with saves to the disk.

Run this script with ``make bench-objects``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
RESULTS = HERE / "results" / "object_store.json"
ENDINGS = (".weights.h5", ".keras")
PART = 8 * 1024 * 1024
AT_ONCE = 6


@contextmanager
def timed(found, name):
    """Append the seconds that the block takes to the list under ``name``."""
    began = time.perf_counter()
    yield
    found.setdefault(name, []).append(time.perf_counter() - began)


def raw_upload(client, key, content):
    """Upload bytes from memory with obstore alone."""
    import obstore

    parts = (content[at : at + PART] for at in range(0, len(content), PART))
    obstore.put(client, key, parts, chunk_size=PART, max_concurrency=AT_ONCE)


def raw_read(client, key, size):
    """Read an object in ranges, with as many parallel requests as lastgood makes."""
    from concurrent.futures import ThreadPoolExecutor

    import obstore

    def read(at):
        return len(obstore.get_range(client, key, start=at, end=min(at + PART, size)))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(read, range(0, size, PART))) == size


def measure(size, ending, repeats, directory):
    """Alternate saves and loads with raw requests; return the seconds of each, by name, and a checkpoint's bytes."""
    import keras
    import numpy as np
    import workloads

    import lastgood
    from helpers import servers
    from lastgood._storage import locate
    from lastgood._storage.objects.clients import client_of

    client = client_of("s3", servers.BUCKET, patient=True)
    model, _ = workloads.dense(size)
    weights_only = ending != ".keras"
    found = {}
    for number in range(repeats + 1):
        if number == 1:  # drop the first round, which prepares connections and memory
            found = {}
        url = f"s3://{servers.BUCKET}/run/{number}{ending}"
        for name, place in (("bucket", url), ("disk", f"{directory}/{number}{ending}")):
            checkpointer = lastgood.Checkpointer(place, save_weights_only=weights_only)
            with timed(found, f"hook, {name}"):
                checkpointer.save(model, step=number)
            checkpointer.wait()
            save = checkpointer.stats[-1]
            found.setdefault(f"durable, {name}", []).append(save.write + save.fsync)
        Path(directory, f"{number}{ending}").unlink()
        length = locate(url).info().size
        content = memoryview(np.random.default_rng(number).integers(0, 256, length, np.uint8))
        with timed(found, "raw upload"):
            raw_upload(client, f"raw/{number}", content)
        with timed(found, "load"):
            lastgood.load_weights(model, url)
        with timed(found, "raw read"):
            raw_read(client, f"run/{number}{ending}", length)
        locate(url).storage.discard(locate(url).path)
        client.delete(f"raw/{number}")
    keras.backend.clear_session()
    return {"bytes": length, **found}


def main():
    """Measure each format with a server on the loopback interface, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="size of the state in gigabytes (10^9 bytes)")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats")
    parser.add_argument(
        "--directory", type=Path, default=HERE, help="directory for the checkpoints and for the server's files"
    )
    parser.add_argument("--result", type=Path, default=RESULTS, help="file for the results")
    arguments = parser.parse_args()
    from helpers import servers

    results = {"machine": platform.platform(), "cores": os.cpu_count(), "size": arguments.size, "formats": {}}
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as directory,
        tempfile.TemporaryDirectory(dir=arguments.directory) as stored,
        servers.seaweedfs(stored) as endpoint,
    ):
        os.environ.update(servers.environment(endpoint))
        for ending in ENDINGS:
            runs = measure(arguments.size * 1e9, ending, arguments.repeats, directory)
            pairs = {
                "upload / raw upload": ("durable, bucket", "raw upload"),
                "load / raw read": ("load", "raw read"),
                "hook into a bucket / to a disk": ("hook, bucket", "hook, disk"),
            }
            ratios = {
                name: statistics.median(a / b for a, b in zip(runs[one], runs[other], strict=True))
                for name, (one, other) in pairs.items()
            }
            results["formats"][ending] = {"ratios": ratios, "runs": runs}
            medians = {name: statistics.median(each) for name, each in runs.items() if name != "bytes"}
            print(ending, *(f"{name} {seconds:.3f} s" for name, seconds in medians.items()), sep="; ", flush=True)
            print(ending, *(f"{name} {ratio:.2f}" for name, ratio in ratios.items()), sep="; ", flush=True)
            arguments.result.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
