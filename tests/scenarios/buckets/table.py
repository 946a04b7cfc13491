"""The table in GUARANTEES.md of what `make buckets` found."""

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
ENDINGS = {".keras": "`.keras`", ".weights.h5": "`.weights.h5`", "directory": "directory"}


def table():
    """Return the table as lines of Markdown: a row for each fault, a column for each format."""
    results = json.loads(RESULTS.read_text())
    faults = sorted({fault for found in results.values() for fault in found})
    yield f"| passed, of the requests tried | {' | '.join(ENDINGS.values())} |"
    yield "|---" * (len(ENDINGS) + 1) + "|"
    for fault in faults:
        yield f"| {fault} | {' | '.join(_cell(results.get(ending, {}).get(fault)) for ending in ENDINGS)} |"


def _cell(counts):
    """Return how many passed; nothing if not all requests were tried."""
    return f"{counts['PASS']} of {counts['PASS'] + counts['FAIL']}" if counts else ""
