"""Tries all cases, and shows the results in a table: matrix.py [--peers] [--only TEXT] [--most N] [--jobs N]."""

import argparse
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import unittest.mock
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from scenarios.crash import table
from scenarios.crash.attempt import Server
from scenarios.crash.faults import FAULTS, Case, attempt, stage
from scenarios.crash.oracle import Verdict

FORMATS = ("lastgood .keras", "lastgood .weights.h5", "lastgood directory")
FILES = FORMATS[:2]
NAMINGS = ("new", "overwrite")
LARGE = 600_000  # of it, 19 MB of state is written in several parts, with the digest computed at the same time
_PEERS = {
    "ModelCheckpoint .keras": NAMINGS,
    "ModelCheckpoint .weights.h5": NAMINGS,
    "BackupAndRestore": ("overwrite",),
    "OrbaxCheckpoint": NAMINGS,
}


def our_cases():
    """Yield every case of lastgood on torch."""
    every = list(itertools.product(FORMATS, NAMINGS))
    for contender, naming in every:
        for background in (True, False):
            yield Case("killed", contender, naming, background)
            yield Case("EIO", contender, naming, background, on_error="warn")
        yield from (Case("power cut", contender, naming, False, disk=disk) for disk in FAULTS["power cut"].disks)
        for fault in ("disk full", "no inodes", "read-only"):
            yield Case(fault, contender, naming, True, disk="small", on_error="warn")
        yield Case("killed again in the restart", contender, naming)
        yield Case("slow disk", contender, naming)
    for contender in FILES:
        yield Case("killed", contender, "overwrite", numbers=LARGE)
        yield Case("out of memory", contender, "overwrite", numbers=LARGE)
        yield Case("power cut", contender, "overwrite", disk="XFS", numbers=LARGE)
    for contender, naming in every:  # on XFS, where blocks can be shared
        for fault, background in (("killed", True), ("power cut", False)):
            yield Case(fault, contender, naming, background, disk="XFS", frozen=LARGE)
        yield Case("EIO", contender, naming, disk="XFS", frozen=LARGE, on_error="warn")


def other_cases():
    """Yield cases of lastgood on other backends, where every attempt needs a new process."""
    yield from (Case("killed", "lastgood .keras", backend=backend) for backend in ("jax", "tensorflow"))
    yield Case("killed", "lastgood TensorFlow checkpoint", "overwrite", backend="tf_keras")
    yield Case("power cut", "lastgood TensorFlow checkpoint", "overwrite", disk="XFS", backend="tf_keras")


def peer_cases():
    """Yield the cases of the other contenders, with the faults that apply to them."""
    for contender, namings in _PEERS.items():
        for naming in namings:
            yield Case("killed", contender, naming)
            yield from (Case("power cut", contender, naming, disk=disk) for disk in FAULTS["power cut"].disks)
            yield Case("disk full", contender, naming, disk="small")


def tried(server, case, *, most=None, seed=0):
    """Strike at the points of a case, or at ``most`` of them, chosen by ``seed``; return [(point, finding), ...]."""
    with stage(server, case) as place:
        points = FAULTS[case.fault].points(place)
        if most is not None and len(points) > most:
            points = random.Random(f"{seed} {case}").sample(points, most)
        return [(point, attempt(place, point)) for point in points]


def _row(case):
    """Return the name of the row that a case belongs to, in the results."""
    return f"{case.fault} | {case.contender}" + (", frozen" if case.frozen else "")


_servers = {}


def _work(task):
    case, most = task
    if case.backend not in _servers:
        _servers[case.backend] = Server(case.backend, forks=case.backend == "torch").__enter__()
    started = time.monotonic()
    findings = tried(_servers[case.backend], case, most=most)
    return case, findings, time.monotonic() - started


def main():
    """Try all cases, print the results, and write them to the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also try the other contenders")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--most", type=int, help="points of a case of lastgood, at most")
    parser.add_argument("--most-of-peers", type=int, default=25, help="points of a case of another contender, at most")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    tasks = [(case, arguments.most) for case in our_cases()]
    tasks += [(case, arguments.most or 12) for case in other_cases()]
    tasks += [(case, arguments.most_of_peers) for case in peer_cases()] if arguments.peers else []
    incomplete = {_row(case) for case, _ in tasks if arguments.only not in str(case)}
    tasks = [task for task in tasks if arguments.only in str(task[0])]
    rows, wrong = {}, []
    with (
        tempfile.TemporaryDirectory(prefix="lastgood-crash-") as here,
        unittest.mock.patch.dict(os.environ, TMPDIR=here),  # killed workers leave their temporary files
        multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool,
    ):
        for case, findings, seconds in pool.imap_unordered(_work, tasks):
            counts = Counter(finding.verdict.name for _, finding in findings)
            struck = sum(finding.struck for _, finding in findings)
            print(f"{seconds:6.1f} s  {case}: {dict(counts)}, {struck} saves kept from an end", flush=True)
            row = rows.setdefault(_row(case), Counter())
            row.update(counts)
            bad = [(point, finding) for point, finding in findings if finding.verdict is not Verdict.PASS]
            if case.contender.startswith("lastgood"):
                wrong += [f"{case} at {point}: {finding}" for point, finding in bad]
            elif bad:
                print(f"           e.g. at {bad[0][0]}: {bad[0][1]}", flush=True)
    if arguments.most is None:
        table.write({name: counts for name, counts in rows.items() if name not in incomplete})
        print(*table.table(), sep="\n")
    sys.exit("\n".join(["NOT PASSED:", *wrong]) if wrong else 0)


if __name__ == "__main__":
    main()
