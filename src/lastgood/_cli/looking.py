"""``show``, ``verify`` and ``diff``: what is in checkpoints, and whether it is intact."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from .._errors import ArgumentError
from .._formats import format_at, holds_checkpoint
from .._run import Problem, Run, open_run
from .._storage import entries
from .._weights import comparing, reading
from . import output

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint.")]


def show(checkpoint: Checkpoint, json: output.AsJson = False) -> None:
    """Show what a checkpoint says of itself, and what its numbers are like."""
    reader = reading.only_reader(checkpoint) if entries.exists(checkpoint) else None
    arrays = None if reader else _arrays(checkpoint)
    record = format_at(checkpoint).read_record(checkpoint)
    known = {} if record is None else asdict(record)
    sick = sum(bool(each.get("nan") or each.get("inf")) for each in arrays or ())
    if json:
        output.write_json({"path": str(checkpoint), "record": known or None, "arrays": arrays, "sick": sick})
        return
    if record is not None:
        known["created"] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.created))
    for name, value in known.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        print(f"{name:9} {'' if text is None else output.plain(text)}")
    if arrays is None:
        print(f"its arrays are read by {reader} only")
        return
    columns = ["array", "type", "shape", ">mean", ">std", ">min", ">max", ">NaN", ">Inf"]
    numbers = ("mean", "std", "low", "high", "nan", "inf")
    rows = [
        [each["name"], each["dtype"], str(each["shape"]), *(output.number(each.get(name)) for name in numbers)]
        for each in arrays
    ]
    output.write_table(columns, rows)
    print("every number is finite" if not sick else f"{sick} of {len(arrays)} arrays hold NaN or Inf")


def _arrays(checkpoint: Path) -> list[dict[str, Any]]:
    with reading.open_weights(checkpoint) as weights:
        return [_described(weights, entry) for entry in weights.entries]


def _described(weights: reading.Weights, entry: reading.Entry) -> dict[str, Any]:
    array = weights.numbers(entry.name)
    known = {} if array is None else asdict(comparing.statistics(array))
    return {"name": entry.name, "dtype": entry.dtype, "shape": list(entry.shape), **known}


def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN|CHECKPOINT...", help="Runs and checkpoints.")],
    json: output.AsJson = False,
) -> None:
    """Check every byte that has a digest; end with status 1 if something is damaged."""
    found = [each for path in paths for each in _checkpoints_at(path)]
    problems: list[Problem] = []
    hidden = json or not output.console().is_terminal
    for path in track(found, "verifying", console=output.console(), disable=hidden, transient=True):
        problems += Run(path.parent).verify(path)
    if json:
        output.write_json(
            {"checked": len(found), "problems": [asdict(each) | {"path": str(each.path)} for each in problems]}
        )
    else:
        for problem in problems:
            print(output.plain(f"{problem.path}: damaged in {problem.region}. {problem.reason}"))
        print(f"{len(found) - len(problems)} of {len(found)} checkpoints are intact")
    raise typer.Exit(code=1 if problems else 0)


def _checkpoints_at(path: Path) -> list[Path]:
    if not entries.exists(path):
        raise ArgumentError(f"There is no run or checkpoint {str(path)!r}.")
    if path.is_dir() and not holds_checkpoint(path):
        return [each.path for each in open_run(path).checkpoints]
    return [path]


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A checkpoint.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json: output.AsJson = False,
) -> None:
    """Show which arrays of two checkpoints differ, by how much, and in what their configurations differ."""
    with reading.open_weights(a) as ours, reading.open_weights(b) as theirs:
        changes = list(comparing.changes(ours, theirs))
    settings = comparing.config_changes(reading.config(a), reading.config(b))
    if json:
        config = [{"place": place, "a": before, "b": after} for place, before, after in settings]
        output.write_json({"arrays": [asdict(each) for each in changes], "config": config})
        return
    rows = [[each.name, each.what, output.number(each.norm), output.number(each.relative)] for each in changes]
    output.write_table(["array", "", ">norm of the change", ">of its own"], rows)
    for place, before, after in settings:
        print(output.plain(f"config {place}: {before!r} in A, {after!r} in B"))
    differing = sum(each.what != "same" for each in changes)
    print(f"{differing} of {len(changes)} arrays differ, and {len(settings)} settings")
