"""``ls`` and ``watch``: the checkpoints of a run."""

import itertools
import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .._run import Run, open_run
from . import output

Directory = Annotated[str, typer.Argument(metavar="RUN", help="Directory or URL that checkpoints are saved in.")]
Monitor = Annotated[
    str | None, typer.Option(help="Metric that decides which checkpoint is best.", show_default="the run's own")
]
Mode = Annotated[
    str | None,
    typer.Option(help="Which values are better: min, max, or auto (by its name).", show_default="the run's own"),
]


def ls(run: Directory, monitor: Monitor = None, mode: Mode = None, json: output.AsJson = False) -> None:
    """List the checkpoints of a run by step. Marks the best, the latest and pinned ones."""
    opened = open_run(run)
    if json:
        output.write_json(opened.listing(monitor, mode))
    else:
        print_table(opened, monitor, mode)


def print_table(run: Run, monitor: str | None = None, mode: str | None = None) -> None:
    """Print the checkpoints of a run."""
    output.console().print(_table(run, monitor, mode))


def watch(
    run: Directory,
    monitor: Monitor = None,
    mode: Mode = None,
    every: Annotated[float, typer.Option(help="Seconds between updates.")] = 2.0,
    looks: Annotated[int, typer.Option(help="Number of times to list; 0 means until Ctrl-C.")] = 0,
    json: output.AsJson = False,
) -> None:
    """List a run's checkpoints again and again while it trains. With --json, prints a list each time."""
    opened = Run(run)
    done = 0
    if json:
        for _ in itertools.count() if looks == 0 else range(looks):
            output.write_json(opened.listing(monitor, mode))
            time.sleep(every)
        return
    with Live(console=output.console(), auto_refresh=False) as live:
        while True:
            now = Text(f"{run} at {time.strftime('%H:%M:%S')}, every {every:g} s; stop with Ctrl-C")
            live.update(Group(now, _table(opened, monitor, mode)), refresh=True)
            done += 1
            if done == looks:
                return
            time.sleep(every)


def _table(run: Run, monitor: str | None = None, mode: str | None = None) -> Table:
    found = run.listing(monitor, mode)
    metrics = sorted({name for each in found for name in each["metrics"]})
    sizes = ["size", "shared"] if any(each["shared"] for each in found) else ["size"]
    numbers = ["step", "epoch", "batch", *metrics, *sizes, "age"]
    rows = []
    for each in found:
        place = ["" if each[name] is None else str(each[name]) for name in ("step", "epoch", "batch")]
        values = [output.number(each["metrics"].get(name)) for name in metrics]
        marks = ", ".join(name for name in ("best", "latest", "pinned") if each[name])
        bytes_of = [output.size(each[name]) for name in sizes]
        rows.append([*place, *values, *bytes_of, output.age(each["created"]), each["path"], marks])
    return output.table([*(f">{name}" for name in numbers), "checkpoint", ""], rows)
