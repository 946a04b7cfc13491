"""Draw the README's chart of the seconds that a save adds to ``fit()``, from ``benchmarks/results/saves.json``.

``make bench`` draws it too. Run this script to draw it again without a measurement.
"""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
_COLORS = {"stock": "#9aa0a6", "Orbax": "#c58af9", "lastgood": "#1a73e8"}
_SHOWN = ("stock .keras", "stock .weights.h5", "OrbaxCheckpoint", "lastgood .keras", "lastgood .weights.h5")


def draw(backends, path):
    """Draw a panel per backend: bars for the median seconds that a save adds to fit, lines from minimum to maximum."""
    figure, axes = plt.subplots(1, len(backends), figsize=(4 * len(backends), 2.8), sharey=True, squeeze=False)
    most = max(found["fit"][name]["max"] for found in backends.values() for name in _SHOWN if name in found["fit"])
    for axis, (backend, found) in zip(axes[0], backends.items(), strict=True):
        names = [name for name in _SHOWN if name in found["fit"]][::-1]
        costs = [found["fit"][name] for name in names]
        middles = [max(0, cost["median"]) for cost in costs]
        below = [middle - max(0, min(middle, cost["min"])) for middle, cost in zip(middles, costs, strict=True)]
        above = [max(middle, cost["max"]) - middle for middle, cost in zip(middles, costs, strict=True)]
        colors = [next(color for word, color in _COLORS.items() if name.startswith(word)) for name in names]
        axis.barh(names, middles, color=colors, xerr=[below, above], ecolor="#5f6368", capsize=2)
        for row, (middle, more) in enumerate(zip(middles, above, strict=True)):
            axis.text(middle + more, row, f"  {middle:.2f} s", va="center", fontsize=8)
        axis.set_xlim(0, most * 1.2)
        axis.set_title(f"{backend}, {found['bytes'] / 1e9:.0f} GB of state", fontsize=9)
        axis.set_xlabel("seconds that a save adds to fit()", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads((RESULTS / "saves.json").read_text())["backends"], RESULTS / "saves.png")
