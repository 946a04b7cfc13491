"""The page: one file, which needs nothing else and asks nobody."""

import html
import re
from pathlib import Path
from typing import Any

from .._errors import MissingExtraError, SaveError
from .._storage import LOCAL
from . import charts
from .story import Story, when

_HERE = Path(__file__).parent


def write_report(story: Story, path: Path) -> None:
    """Write a run's report.

    Args:
        story: What it tells.
        path: Where to; whole, or not at all.

    Raises:
        MissingExtraError: What draws and lays out the page is not installed.
        SaveError: The page cannot be written.
    """
    page = render(story)
    try:
        LOCAL.put(path, page.encode())
    except OSError as error:
        raise SaveError.during("write the report", path, error) from error


def render(story: Story) -> str:
    """Return the page of a run's story."""
    try:
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature("A report", "jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    drawn = [
        {"title": family, "svg": Markup(_for_page(charts.metric_chart(story, names))), "told": _told(story, names)}
        for family, names in story.families().items()
    ]
    draw = (charts.cost_chart, charts.size_chart) if story.costs else ()
    costs = [Markup(_for_page(chart(story))) for chart in draw]
    metrics = sorted(story.curves)
    return environment.get_template("page.html").render(
        story=story,
        charts=drawn,
        cost_charts=costs,
        metrics=metrics,
        when=when,
        number=_number,
        size=_size,
        rows=_rows(story),
    )


def framed(story: Story) -> str:
    """Return a run's report as an element that keeps its looks to itself, for a notebook.

    Raises:
        MissingExtraError: What draws and lays out the page is not installed.
    """
    page = html.escape(render(story))
    return f'<iframe srcdoc="{page}" title="Checkpoints" style="width: 100%; height: 40rem; border: 0"></iframe>'


def _for_page(svg: str) -> str:
    """Hide a drawing's parts from screen readers, which get its text, and let it be as wide as the page."""
    head = '<svg aria-hidden="true" focusable="false" '
    return head + re.sub(r'\b(width|height)="[^"]*" ?', "", svg[len("<svg ") :], count=2)


def _told(story: Story, names: list[str]) -> str:
    """Return what a chart shows, in words."""
    parts = []
    for name in names:
        curve = story.curves[name]
        steps = list(curve)
        parts.append(
            f"{name} goes from {_number(curve[steps[0]])} at step {steps[0]} to {_number(curve[steps[-1]])} at step "
            f"{steps[-1]}"
        )
    return f"{'; '.join(parts)}."


def _rows(story: Story) -> list[dict[str, Any]]:
    newest_first = list(reversed(list(story.checkpoints.items())))
    latest = newest_first[0][1] if newest_first else None
    rows = []
    for name, each in newest_first:
        known = {"best": each is story.best or (story.best is not None and each.path == story.best.path)}
        known |= {"latest": each is latest, "pinned": each.pinned}
        rows.append({"at": each, "name": name, "marks": ", ".join(mark for mark, holds in known.items() if holds)})
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
