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
_OTHER = "#e8a33d"
_OURS = ("lastgood .keras", "lastgood .weights.h5")


def draw(backends, path):
    """Draw a panel per backend: a bar for the median seconds that a save adds to fit, a line for its interval.

    Beside each bar stands by how much it is longer than lastgood's, for the same format if it has that format.
    """
    bars = {backend: _bars(found) for backend, found in backends.items()}
    most = max(cost["high"] for rows in bars.values() for _, cost, _ in rows)
    rows = max(map(len, bars.values()))
    size = (4.4 * len(backends), 0.5 + 0.33 * rows)
    figure, axes = plt.subplots(1, len(backends), figsize=size, squeeze=False)
    for axis, (backend, found) in zip(axes[0], backends.items(), strict=True):
        _panel(axis, bars[backend])
        axis.set_xlim(0, most * 1.5)
        axis.set_ylim(-0.6, rows - 0.4)
        axis.set_title(f"{backend}, {found['bytes'] / 1e9:.1f} GB of state", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(found):
    """Return the name, the cost and the factor of each bar, from the bottom up."""
    fit = found["fit"]
    shown = [name for name in fit if name in _OURS or not name.startswith("lastgood")]
    shown.sort(key=lambda name: (name in _OURS, fit[name]["median"]))
    rows = []
    for name in shown:
        factors = [each for key, each in found["ratios"].items() if key.startswith(f"fit, {name} /")]
        rows.append((name, fit[name], factors[0]["ratio"] if factors else None))
    return rows[::-1]


def _panel(axis, rows):
    for row, (name, cost, factor) in enumerate(rows):
        color = next((color for word, color in _COLORS.items() if name.startswith(word)), _OTHER)
        middle = max(0, cost["median"])
        spread = [[middle - max(0, min(middle, cost["low"]))], [max(middle, cost["high"]) - middle]]
        axis.barh(row, middle, color=color, xerr=spread, ecolor="#5f6368", capsize=2)
        text = f"  {middle:.2f} s" + (f", {factor:.1f} ×" if factor else "")
        axis.text(max(middle, cost["high"]), row, text, va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axis.set_xlabel("seconds that a save adds to fit(); × lastgood", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(json.loads((RESULTS / "saves.json").read_text())["backends"], RESULTS / "saves.png")
