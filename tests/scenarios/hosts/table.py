"""The table in GUARANTEES.md of what `make blows` found."""

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("blows.json")
CONTENDERS = {
    "lastgood, .keras": "`.keras`",
    "lastgood, directory": "directory",
    "OrbaxCheckpoint": "Keras's `OrbaxCheckpoint`",
}
WRONG = {"HANGS": "hang", "FAILS": "fail", "DIVERGES": "diverge"}


def table():
    """Return the table as lines of Markdown: a row for each kind of blow, a column for each contender."""
    results = json.loads(RESULTS.read_text())
    yield f"| exact restarts, of the blows tried | {' | '.join(CONTENDERS.values())} |"
    yield "|---" * (len(CONTENDERS) + 1) + "|"
    for blow in results["OrbaxCheckpoint"]:
        yield f"| {blow} | {' | '.join(_cell(results[name][blow]) for name in CONTENDERS)} |"


def _cell(counts):
    """Return how many passed and, if not all did, what the others did."""
    shown = f"{counts.get('PASS', 0)} of {sum(counts.values())}"
    wrong = [f"{counts[what]} {verb}" for what, verb in WRONG.items() if what in counts]
    return f"{shown} ({', '.join(wrong)})" if wrong else shown
