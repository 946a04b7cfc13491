"""The chart of what a save costs training, that the README shows."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_COLORS = {"stock": "#9aa0a6", "Orbax": "#c58af9", "lastgood": "#1a73e8"}
_SHOWN = ("stock .keras", "stock .weights.h5", "OrbaxCheckpoint", "lastgood .keras", "lastgood .weights.h5")
_FLOOR = 0.01  # seconds; a logarithmic axis has no zero


def draw(backends, path):
    """Draw bars of the seconds of fit that a save costs, a panel a backend, with the range from least to most."""
    figure, axes = plt.subplots(1, len(backends), figsize=(4 * len(backends), 2.8), sharey=True, squeeze=False)
    for axis, (backend, found) in zip(axes[0], backends.items(), strict=True):
        names = [name for name in _SHOWN if name in found["fit"]][::-1]
        costs = [found["fit"][name] for name in names]
        middles = [max(_FLOOR, cost["median"]) for cost in costs]
        below = [middle - max(_FLOOR, min(middle, cost["min"])) for middle, cost in zip(middles, costs, strict=True)]
        above = [max(middle, cost["max"]) - middle for middle, cost in zip(middles, costs, strict=True)]
        colors = [next(color for word, color in _COLORS.items() if name.startswith(word)) for name in names]
        axis.barh(names, middles, color=colors, xerr=[below, above], ecolor="#5f6368", capsize=2)
        for row, middle in enumerate(middles):
            axis.text(middle, row + 0.28, f" {middle:.2f} s", va="center", fontsize=7)
        axis.set_xscale("log")
        axis.set_xlim(_FLOOR, 20)
        axis.set_title(f"{backend}, {found['bytes'] / 1e9:.2f} GB of state", fontsize=9)
        axis.set_xlabel("seconds of fit() a save", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
