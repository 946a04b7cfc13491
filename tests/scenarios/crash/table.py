"""The table in GUARANTEES.md of what `make crash` found."""

import json
from collections import Counter
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
WHO = ("lastgood", "ModelCheckpoint", "BackupAndRestore", "OrbaxCheckpoint")
FAULTS = {
    "killed": "SIGKILL",
    "killed again in the restart": "SIGKILL, and again in the restart",
    "power cut": "power cut",
    "EIO": "EIO",
    "disk full": "full disk",
    "no inodes": "no inodes",
    "read-only": "no change allowed",
    "slow disk": "slow disk",
    "out of memory": "memory limit",
}


def write(rows):
    """Write results to the file: verdicts counted, by fault and contender; those of other rows stay."""
    rows = {**json.loads(RESULTS.read_text()), **{name: dict(counts) for name, counts in rows.items()}}
    RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


def table():
    """Return the table as lines of Markdown: a row per fault, a column per contender, with its formats together."""
    found = {}
    for name, counts in json.loads(RESULTS.read_text()).items():
        fault, contender = name.split(" | ")
        found.setdefault((fault, contender.split()[0]), Counter()).update(counts)
    yield f"| passed, of the points tried | {' | '.join(WHO)} |"
    yield "|---" * (len(WHO) + 1) + "|"
    for fault, title in FAULTS.items():
        yield f"| {title} | {' | '.join(_cell(found.get((fault, who))) for who in WHO)} |"


def _cell(counts):
    """Return how many passed, and the verdicts of the others."""
    if not counts:
        return ""
    others = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name != "PASS")
    return f"{counts['PASS']} of {counts.total()}" + (f" ({others})" if others else "")
