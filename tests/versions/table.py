"""The tables of what `make versions` found."""

import json
import re
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
# The versions that are shown next to that of Keras: of each Python in the first table, of each cell in the second.
BESIDE = ("jax", "tensorflow-cpu", "tf_keras", "numpy", "h5py", "orbax-checkpoint")


def results():
    """Return what was found, by cell."""
    return json.loads(RESULTS.read_text())


def table():
    """Return the tables as lines of Markdown: a row per Python, a column per Keras; then the lowest versions."""
    found = results()
    grid = {}
    for name, cell in found.items():
        python, of = re.fullmatch(r"Python ([\d.]+), (.*)", name).groups()
        grid.setdefault(of, {})[python] = cell
    releases = [of for of in grid if of.startswith("Keras")]
    if not releases:
        return
    yield "| passed, skipped | " + " | ".join(_release(grid[of]) for of in releases) + " | beside it |"
    yield "|---" * (len(releases) + 2) + "|"
    for python in sorted({python for of in releases for python in grid[of]}):
        cells = [grid[of].get(python) for of in releases]
        newest = next(cell for cell in reversed(cells) if cell)
        yield f"| Python {python} | {' | '.join(map(_cell, cells))} | {_beside(newest['versions'])} |"
    yield ""
    yield "| the lowest versions | passed, skipped | which |"
    yield "|---|---|---|"
    for of in (of for of in grid if of not in releases):
        for python, cell in grid[of].items():
            versions = cell["versions"]
            yield f"| Python {python}, {of} | {_cell(cell)} | Keras {versions['keras']}, {_beside(versions)} |"


def _release(cells):
    """Return the heading of a Keras column: its version, which was the same on all Pythons."""
    return "Keras " + " and ".join(sorted({cell["versions"]["keras"] for cell in cells.values()}))


def _beside(versions):
    return ", ".join(f"{name} {versions[name]}" for name in BESIDE if name in versions)


def _cell(cell):
    if cell is None:
        return "not run"
    failed = f", **{cell['failed']} failed**" if cell["failed"] else ""
    return f"{cell['passed']}, {cell['skipped']}{failed}"
