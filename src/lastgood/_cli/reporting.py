"""``report``: a run as a page."""

from pathlib import Path
from typing import Annotated

import typer

from .._errors import SaveError
from .._report import charts, page
from .._report.story import Story
from .._run.run import open_run, story_of
from .._storage import LOCAL
from . import output
from .listing import Directory, Mode, Monitor


def report(
    run: Directory,
    to: Annotated[Path, typer.Option("--output", "-o", help="Where to write the page.")] = Path("report.html"),
    png: Annotated[Path | None, typer.Option(help="Where to write the curves as a picture.")] = None,
    monitor: Monitor = "val_loss",
    mode: Mode = "auto",
    json: output.AsJson = False,
) -> None:
    """Write a page about a run that needs nothing else to be looked at: curves, checkpoints, what saves cost."""
    story = story_of(open_run(run), monitor, mode)
    page.write_report(story, to)
    written = [str(to)]
    if png is not None:
        _write_picture(story, png)
        written.append(str(png))
    output.write_done("wrote", *written, as_json=json)


def _write_picture(story: Story, path: Path) -> None:
    try:
        with LOCAL.stage(path, path.suffix) as stage:
            charts.picture(story, stage.path)
    except OSError as error:
        raise SaveError.during("write the picture", path, error) from error
