"""Tries all failures of a store, and shows the results.

matrix.py [--endings .keras,.weights.h5,directory] [--faults FAULT ...] [--most N] [--jobs N]

All of it takes hours. Endings and faults that a run leaves out keep their results, so several runs can try all.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from helpers import servers
from scenarios.buckets.attempts import ENDINGS, KILLS, LASTING, TRANSIENT, Case, Jobs, Stage
from scenarios.buckets.proxy import proxy
from scenarios.buckets.table import RESULTS

_A_SERVER = 150  # attempts, each of which leaves at least 20 MB there


@contextmanager
def stage(endpoint):
    """Yield a stage in front of a store."""
    with proxy(endpoint) as (through, follow), Jobs() as jobs:
        yield Stage(jobs, endpoint, through, follow)


def cases(ending, requests):
    """Yield all cases of an ending: each fault at each request."""
    faults = [(fault, False) for fault in TRANSIENT + KILLS] + [(fault, True) for fault in LASTING]
    for restart, count in zip((False, True), requests, strict=True):
        for fault, lasts in faults:
            yield from (Case(ending, fault, lasts, restart, at) for at in range(1, count + 1))


def sample(every, most, seed=0):
    """Return at most ``most`` of the cases, chosen by ``seed``."""
    every = list(every)
    return random.Random(seed).sample(every, most) if most is not None and len(every) > most else every


def _work(task):
    ending, faults, most, share, shares = task
    rows, wrong, began = Counter(), [], time.monotonic()
    mine = None
    while mine is None or mine:
        with tempfile.TemporaryDirectory() as disk, servers.seaweedfs(disk) as endpoint, stage(endpoint) as place:
            place.measure(ending)
            if mine is None:
                chosen = [case for case in cases(ending, place.requests[ending]) if case.title in faults]
                # By number: the processes may count one request more or less, and none may be left out for that.
                mine = [case for case in sample(chosen, most) if case.at % shares == share]
            for case in mine[:_A_SERVER]:
                finding, struck = place.attempt(case)
                rows[case.title, "PASS" if not finding else "FAIL"] += 1
                rows[case.title, "struck"] += struck
                if finding:
                    wrong.append(f"{case}: {finding}")
                    print(wrong[-1], flush=True)
        mine = mine[_A_SERVER:]
        print(f"{ending or 'directory'}: {len(mine)} more of share {share}", flush=True)
    return ending, rows, wrong, time.monotonic() - began


def _table(rows):
    """Return the results of each fault, by its title."""
    titles = sorted({title for title, _ in rows})
    return {title: {what: rows[title, what] for what in ("PASS", "FAIL", "struck")} for title in titles}


def main():
    """Try all cases, print the results, and write them to the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [ending or "directory" for ending in ENDINGS]
    parser.add_argument("--endings", default=",".join(names), help="which endings, separated by commas")
    titles = sorted({case.title for case in cases("", (1, 1))})
    parser.add_argument("--faults", nargs="+", metavar="FAULT", default=titles, choices=titles, help=f"of {titles}")
    parser.add_argument("--most", type=int, help="cases of an ending, at most")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    endings = [ENDINGS[names.index(name)] for name in arguments.endings.split(",")]
    total, wrong = {ending: Counter() for ending in endings}, []
    shares = range(arguments.jobs)
    tasks = [(ending, arguments.faults, arguments.most, share, len(shares)) for ending in endings for share in shares]
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for ending, rows, found, seconds in pool.imap_unordered(_work, tasks):
            total[ending].update(rows)
            wrong += found
            print(f"{seconds:6.1f} s  {ending or 'directory'}: {dict(rows)}", flush=True)
    results = {ending or "directory": _table(rows) for ending, rows in total.items()}
    if arguments.most is None:
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        merged = before | {name: before.get(name, {}) | table for name, table in results.items()}
        RESULTS.write_text(json.dumps(merged, indent=1) + "\n")
    for name, table in results.items():
        for title, counts in table.items():
            passed, tried, struck = counts["PASS"], counts["PASS"] + counts["FAIL"], counts["struck"]
            print(f"{name:12} {title:36} {passed} of {tried}, {struck} ended the training")
    sys.exit("\n".join(["NOT PASSED:", *wrong]) if wrong else 0)


if __name__ == "__main__":
    main()
