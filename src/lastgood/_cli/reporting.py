"""``report``: an HTML page about one run, or a comparison of several."""

from pathlib import Path
from typing import Annotated

import typer

from .._errors import ArgumentError, SaveError
from .._report import charts, page
from .._report.comparison import labels, metrics_of
from .._report.story import Story
from .._run.run import open_run, story_of
from .._storage import LOCAL
from . import output
from .listing import Mode, Monitor


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Directory or URL of a run; several runs are compared."),
    ],
    to: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("report.html"),
    png: Annotated[Path | None, typer.Option(help="Image file to draw the curves to as well.")] = None,
    monitor: Monitor = None,
    mode: Mode = None,
    json: output.AsJson = False,
) -> None:
    """Write a self-contained HTML report of one or several runs.

    For one run, it shows curves, checkpoints, starts and settings. For several, it compares curves, best checkpoints
    and settings.
    """
    stories = _stories(runs, monitor, mode)
    if len(stories) == 1:
        page.write_report(next(iter(stories.values())), to)
    else:
        page.write_comparison(stories, to)
    written = [str(to)]
    if png is not None:
        _write_picture(stories, png)
        written.append(str(png))
    output.write_done("wrote", *written, as_json=json)


def _stories(runs: list[str], monitor: str | None, mode: str | None) -> dict[str, Story]:
    """Return the contents of the report for each run, by label; the first run's metric ranks all of them.

    Raises:
        ArgumentError: A directory does not exist, or is given twice.
    """
    opened = [open_run(run) for run in runs]
    places = [str(run.directory) for run in opened]
    if twice := {place for place in places if places.count(place) > 1}:
        raise ArgumentError(f"The run {min(twice)!r} is given twice. Pass the directories of different runs.")
    first = story_of(opened[0], monitor, mode)
    others = (story_of(run, first.monitor, first.mode) for run in opened[1:])
    return dict(zip(labels(places), (first, *others), strict=True))


def _write_picture(stories: dict[str, Story], path: Path) -> None:
    several, story = len(stories) > 1, next(iter(stories.values()))
    try:
        with LOCAL.stage(path, path.suffix) as stage:
            if several:
                names = metrics_of(stories.values(), story.monitor)
                charts.comparing_picture(stories, names, stage.path)
            else:
                charts.picture(story, stage.path)
    except OSError as error:
        raise SaveError.during("write the picture", path, error) from error
