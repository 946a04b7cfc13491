"""Charts of a run, drawn by matplotlib: as SVG that takes its colors from the page, or as an image file."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import MissingExtraError
from .story import Story, steps_of

# In the page, CSS variables replace these colors, for light and dark mode; an image file has them as they are.
INK, GRID = "#1c2733", "#d5dbe1"
COLORS = ("#1f6fb4", "#d1661c", "#2e8540", "#8250a8", "#b8336a", "#0f7f8c", "#7a6a10", "#5c6470")
_LINES = ("-", "--", "-.", ":")
_LONGEST = 24  # characters of a name in a legend
_INCHES = (5.2, 2.7)  # so that a phone shows its text at about 10 pixels


def _figure(rows: int = 1) -> tuple[Any, Sequence[Any]]:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature("A report", "matplotlib", "report") from error
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, 1, squeeze=False)[:, 0])
    for each in axes:
        each.grid(visible=True, color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
        each.set_facecolor("none")
        each.tick_params(colors=INK, labelsize=10)
        for spine in each.spines.values():
            spine.set_color(GRID)
        each.set_xlabel("step", color=INK, fontsize=10)
    return figure, axes


def metric_chart(story: Story, names: Sequence[str]) -> str:
    """Return the SVG of the metrics in ``names``, with the checkpoints marked on the last curve."""
    figure, axes = _figure()
    _draw_metrics(axes[0], story, names)
    return _svg(figure)


def cost_chart(story: Story) -> str:
    """Return the SVG of the time that saves took."""
    figure, axes = _figure()
    steps = [cost.step for cost in story.costs]
    axes[0].plot(steps, [cost.held for cost in story.costs], ".-", color=COLORS[0], label="training waited")
    axes[0].plot(steps, [cost.durable for cost in story.costs], ".-", color=COLORS[1], label="then until durable")
    axes[0].set_ylabel("seconds", color=INK, fontsize=10)
    _legend(axes[0])
    return _svg(figure)


def size_chart(story: Story) -> str:
    """Return the SVG of the sizes of checkpoints."""
    figure, axes = _figure()
    steps = [cost.step for cost in story.costs]
    axes[0].plot(steps, [cost.size / 1e6 for cost in story.costs], ".-", color=COLORS[0], label="each checkpoint")
    kept = [cost.kept / 1e6 for cost in story.costs]
    axes[0].plot(steps, kept, ".-", color=COLORS[1], label="all together")
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("MB", color=INK, fontsize=10)
    _legend(axes[0])
    return _svg(figure)


def picture(story: Story, path: Path) -> None:
    """Write the curves of all metrics to an image file; its suffix must be one that matplotlib knows."""
    families = list(story.families().values())
    figure, axes = _figure(max(1, len(families)))
    for each, names in zip(axes, families, strict=False):
        _draw_metrics(each, story, names)
    figure.savefig(path, dpi=150, facecolor="white")


def comparing_chart(stories: Mapping[str, Story], name: str, *, over_time: bool = False) -> str:
    """Return the SVG of one metric of several runs.

    Args:
        stories: The runs, by label.
        name: The metric.
        over_time: Whether to draw it over training time instead of steps.
    """
    figure, axes = _figure()
    _draw_compared(axes[0], stories, name, over_time=over_time)
    return _svg(figure)


def comparing_picture(stories: Mapping[str, Story], names: Sequence[str], path: Path) -> None:
    """Write the curves of several runs to an image file, one chart per metric."""
    figure, axes = _figure(max(1, len(names)))
    for each, name in zip(axes, names, strict=False):
        _draw_compared(each, stories, name)
        each.set_ylabel(_short(name), color=INK, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=150, facecolor="white")


def _draw_compared(axes: Any, stories: Mapping[str, Story], name: str, *, over_time: bool = False) -> None:
    """Draw a metric of several runs, each with its own color and line style, and mark their best checkpoints."""
    unit, length = _unit(max((max(each.elapsed.values(), default=0.0) for each in stories.values()), default=0.0))
    for i, (label, story) in enumerate(stories.items()):
        curve = {step: value for step, value in story.curves.get(name, {}).items() if math.isfinite(value)}
        if over_time:
            curve = {step: value for step, value in curve.items() if step in story.elapsed}
        at = {step: story.elapsed[step] / length if over_time else step for step in curve}
        color, line = COLORS[i % len(COLORS)], _LINES[(i + i // len(COLORS)) % len(_LINES)]
        alone = "o" if len(curve) == 1 else None
        values = list(curve.values())
        axes.plot(list(at.values()), values, line, marker=alone, color=color, linewidth=1.6, label=_short(label))
        best = story.best.step if story.best is not None and name == story.monitor else None
        if best in curve:
            axes.plot([at[best]], [curve[best]], "*", color=color, markersize=11)
    if over_time:
        axes.set_xlabel(f"{unit} of training", color=INK, fontsize=10)
    _legend(axes)


def _unit(seconds: float) -> tuple[str, float]:
    """Return a suitable unit of time: its name and its length in seconds."""
    units = (("hours", 3600.0), ("minutes", 60.0))
    return next((unit for unit in units if seconds >= 2 * unit[1]), ("seconds", 1.0))


def _short(label: str) -> str:
    """Return a name shortened to fit in a legend."""
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST // 2]}…{label[-_LONGEST // 2 :]}"


def _draw_metrics(axes: Any, story: Story, names: Sequence[str]) -> None:
    for name, color in zip(names, COLORS, strict=False):
        curve = {step: value for step, value in story.curves[name].items() if math.isfinite(value)}
        axes.plot(list(curve), list(curve.values()), "-", color=color, linewidth=1.6, label=name)
    marked = story.curves[names[-1]]
    best = steps_of([story.best] if story.best else [])
    there = steps_of(story.checkpoints.values())
    for steps, marker, face, label in (
        ([step for step in story.pruned if step not in there], "o", "none", "pruned"),
        ([step for step in there if step not in best], "o", INK, "kept"),
        (best, "*", INK, f"best {story.monitor}"),
    ):
        points = [step for step in steps if step in marked and math.isfinite(marked[step])]
        if points:
            size = 11 if marker == "*" else 4.5
            values = [marked[step] for step in points]
            axes.plot(points, values, marker, color=INK, markerfacecolor=face, markersize=size, label=label)
    _legend(axes)


def _legend(axes: Any) -> None:
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        place = {
            "loc": "lower left",
            "bbox_to_anchor": (0, 1),
            "ncols": 2 if max(map(len, labels)) > _LONGEST // 2 else 3,
        }
        made = axes.legend(**place, fontsize=9, labelcolor=INK, facecolor="none", edgecolor="none", framealpha=0.0)
        for text in made.get_texts():  # $ in the name of a metric does not start a formula
            text.set_parse_math(False)


def _svg(figure: Any) -> str:
    """Return a figure as an SVG element that takes its colors from the page."""
    from matplotlib import rc_context

    content = io.StringIO()
    # Keep text as text, and use the same ids each time.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lastgood", "font.family": "sans-serif"}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in ((INK, "--ink"), (GRID, "--grid"), *((c, f"--curve-{i}") for i, c in enumerate(COLORS))):
        text = text.replace(color, f"var({variable})")
    return text
