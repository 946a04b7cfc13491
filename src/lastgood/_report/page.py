"""The report page: one self-contained HTML file that loads nothing from the network."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import MissingExtraError, SaveError
from .._storage import LOCAL
from . import charts, comparison
from .story import Curve, Story
from .values import duration, number, size, when

_HERE = Path(__file__).parent
_AT_A_GLANCE = 8  # checkpoints
_DASHES = ("", "6 3", "6 2 1 2", "1.5 2.5")  # like the lines in the charts


def write_report(story: Story, path: Path) -> None:
    """Write a run's report.

    Args:
        story: The contents of the report.
        path: The file to write. It appears complete, or not at all.

    Raises:
        MissingExtraError: A package that draws the charts or renders the page is not installed.
        SaveError: The page cannot be written.
    """
    _write(render(story), path)


def write_comparison(stories: Mapping[str, Story], path: Path) -> None:
    """Write a page about several runs. See :func:`write_report`.

    Args:
        stories: The contents of the page, by label of the run; the same metric ranks all of them.
        path: The file to write. It appears complete, or not at all.
    """
    _write(render_comparison(stories), path)


def _write(page: str, path: Path) -> None:
    try:
        LOCAL.put(path, page.encode())
    except OSError as error:
        raise SaveError.during("write the report", path, error) from error


def render(story: Story) -> str:
    """Return the report page of a run."""
    return _fill(
        "page.html",
        story=story,
        charts=_metric_charts(story, len(story.curves)),
        costs=_cost_charts(story),
        metrics=sorted(story.curves),
        rows=_rows(story),
        starts=list(story.starts.changes())[::-1],
        place={**story.place, **story.environment},
    )


def render_glance(story: Story) -> str:
    """Return a short report page: the run's state, curves, newest checkpoints, and the best and pinned ones.

    It shows only the monitored metric and the loss.
    """
    rows = _rows(story)
    shown = [row for i, row in enumerate(rows) if i < _AT_A_GLANCE or row["marks"]]
    left = len(rows) - len(shown)
    said = "Newest first" if not left else f"The newest, the best and the pinned; {left} more are not shown"
    metrics = [name for name in sorted(story.curves) if name in {story.monitor, *story.families().get("loss", ())}]
    return _fill("glance.html", story=story, charts=_metric_charts(story, 2), metrics=metrics, rows=shown, said=said)


def render_comparison(stories: Mapping[str, Story]) -> str:
    """Return the page that compares several runs, given by label."""
    told = list(stories.values())
    return _fill(
        "comparison.html",
        stories=told,
        labels=list(stories),
        keys=[_key(i) for i in range(len(told))],
        monitor=told[0].monitor,
        mode=told[0].mode,
        best=comparison.best_checkpoints(told),
        overview=comparison.overview(told),
        settings=comparison.side_by_side([story.start.all_facts() if story.start else {} for story in told]),
        charts=_compared_charts(stories),
    )


def framed(story: Story) -> str:
    """Return the short report for a notebook, as an iframe that keeps its styles to itself.

    Raises:
        MissingExtraError: A package that draws the charts or renders the page is not installed.
    """
    page = html.escape(render_glance(story))
    return f'<iframe srcdoc="{page}" title="Checkpoints" style="width: 100%; height: 40rem; border: 0"></iframe>'


def _fill(name: str, **values: Any) -> str:
    try:
        from jinja2 import Environment, FileSystemLoader
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature("A report", "jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    shown = {"when": when, "number": number, "size": size, "duration": duration, "trained": comparison.trained}
    return environment.get_template(name).render(**shown, **values)


# The charts, each with a description in words


def _chart(title: str, svg: str, told: str) -> dict[str, Any]:
    """Return a chart for the page.

    It is as wide as the page. Screen readers read its description instead of its parts.
    """
    head = '<svg aria-hidden="true" focusable="false" '
    shown = head + re.sub(r'\b(width|height)="[^"]*" ?', "", svg[len("<svg ") :], count=2)
    return {"title": title, "svg": _markup(shown), "told": told}


def _markup(text: str) -> Any:
    try:
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature("A report", "jinja2", "report") from error
    return Markup(text)


def _metric_charts(story: Story, most: int) -> list[dict[str, Any]]:
    return [
        _chart(family, charts.metric_chart(story, names), _told(story, names))
        for family, names in list(story.families().items())[:most]
    ]


def _cost_charts(story: Story) -> list[dict[str, Any]]:
    costs = story.costs
    if not costs:
        return []
    held = sum(cost.held for cost in costs)
    share = f", {held / story.trained:.1%} of its time" if story.trained > held else ""
    seconds = f"{len(costs)} saves. Training waited {duration(held)} for them in all{share}."
    sizes = (
        f"The last checkpoint takes {size(costs[-1].size)}, the largest {size(max(cost.size for cost in costs))}. "
        f"Together, the checkpoints took up to {size(max(cost.kept for cost in costs))}."
    )
    if any(cost.shared for cost in costs):
        sizes += " Bytes that they share on the disk are counted in each of them."
    return [
        _chart("Time of each save", charts.cost_chart(story), seconds),
        _chart("Size", charts.size_chart(story), sizes),
    ]


def _compared_charts(stories: Mapping[str, Story]) -> list[dict[str, Any]]:
    monitor = next(iter(stories.values())).monitor
    drawn = []
    for name in comparison.metrics_of(stories.values(), monitor):
        told = _told_of_several(stories, name)
        drawn.append(_chart(name, charts.comparing_chart(stories, name), told))
        if name == monitor and any(story.elapsed.keys() & story.curves.get(name, {}) for story in stories.values()):
            told = f"Over training time; the time between starts is left out. {_told_times(stories)}"
            drawn.append(_chart(f"{name} by time", charts.comparing_chart(stories, name, over_time=True), told))
    return drawn


def _told(story: Story, names: Sequence[str]) -> str:
    """Return a description of a chart in words."""
    return f"{'; '.join(f'{name} goes {_from_to(story.curves[name])}' for name in names)}."


def _told_of_several(stories: Mapping[str, Story], name: str) -> str:
    known = {label: story.curves[name] for label, story in stories.items() if story.curves.get(name)}
    return f"{'; '.join(f'{label} goes {_from_to(curve)}' for label, curve in known.items())}."


def _told_times(stories: Mapping[str, Story]) -> str:
    known = {label: comparison.trained(story) for label, story in stories.items()}
    return f"{'; '.join(f'{label} trained for {time}' for label, time in known.items() if time)}."


def _from_to(curve: Curve) -> str:
    first, last = min(curve), max(curve)
    return f"from {number(curve[first])} at step {first} to {number(curve[last])} at step {last}"


def _key(place: int) -> Any:
    """Return a sample of a run's line in the charts. See :func:`charts.comparing_chart`."""
    colors = len(charts.COLORS)
    dashes = _DASHES[(place + place // colors) % len(_DASHES)]
    return _markup(
        f'<svg class="key" viewBox="0 0 26 10" aria-hidden="true" focusable="false"><line x1="0" y1="5" x2="26" y2="5" '
        f'stroke="var(--curve-{place % colors})" stroke-width="2.5" stroke-dasharray="{dashes or "none"}"/></svg>'
    )


def _rows(story: Story) -> list[dict[str, Any]]:
    """Return the rows of the table of checkpoints, newest first."""
    latest, best = story.latest, story.best
    rows = []
    for name, each in reversed(list(story.checkpoints.items())):
        known = {"best": best is not None and each.path == best.path, "latest": each is latest, "pinned": each.pinned}
        rows.append({"at": each, "name": name, "marks": ", ".join(mark for mark, holds in known.items() if holds)})
    return rows
