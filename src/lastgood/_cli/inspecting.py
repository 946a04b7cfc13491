"""``show``, ``verify`` and ``diff``: inspect, check and compare checkpoints."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import track

from .._checkpoint import Problem
from .._errors import ArgumentError
from .._formats import format_at, holds_checkpoint
from .._inspect import arrays, compare
from .._run import Run, open_run
from .._storage import Location, Seen, locate
from . import output

CheckpointArgument = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Path or URL of a checkpoint.")]


def show(checkpoint: CheckpointArgument, json: output.AsJson = False) -> None:
    """Show a checkpoint's record and statistics of its arrays."""
    at = locate(checkpoint)
    file_format = format_at(at)
    reader = file_format.only_reader_of(at) if at.kind is not None else None
    found = None if reader else _arrays(at)
    listed = Run(at.parent).look_at([Seen(at)])  # with the metrics that were logged after the save
    record = listed[0].record if listed else None
    known = {} if record is None else asdict(record)
    sick = sum(bool(each.get("nan") or each.get("inf")) for each in found or ())
    if json:
        output.write_json({"path": str(at), "record": known or None, "arrays": found, "sick": sick})
        return
    if record is not None:
        known["created"] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.created))
    for name, value in known.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        print(f"{name:9} {'' if text is None else output.plain(text)}")
    if found is None:
        print(f"only {reader} can read its arrays")
        return
    columns = ["array", "type", "shape", ">mean", ">std", ">min", ">max", ">NaN", ">Inf"]
    numbers = ("mean", "std", "low", "high", "nan", "inf")
    rows = [
        [each["name"], each["dtype"], str(each["shape"]), *(output.number(each.get(name)) for name in numbers)]
        for each in found
    ]
    output.write_table(columns, rows)
    print("every number is finite" if not sick else f"{sick} of {len(found)} arrays contain NaN or Inf")


def _arrays(checkpoint: Location) -> list[dict[str, Any]]:
    with arrays.open_weights(checkpoint) as weights:
        return [_described(weights, entry) for entry in weights.entries]


def _described(weights: arrays.Weights, entry: arrays.Entry) -> dict[str, Any]:
    array = weights.numbers(entry.name)
    known = {} if array is None else asdict(compare.statistics(array))
    return {"name": entry.name, "dtype": entry.dtype, "shape": list(entry.shape), **known}


def verify(
    paths: Annotated[list[str], typer.Argument(metavar="RUN|CHECKPOINT", help="Runs or checkpoints: paths or URLs.")],
    json: output.AsJson = False,
) -> None:
    """Check every byte that has a digest. Exits with status 1 if anything is damaged."""
    found = [each for path in paths for each in _checkpoints_at(path)]
    problems: list[Problem] = []
    hidden = json or not output.console().is_terminal
    for at in track(found, "verifying", console=output.console(), disable=hidden, transient=True):
        problems += Run(at.parent).verify(at)
    if json:
        output.write_json(
            {"checked": len(found), "problems": [asdict(each) | {"path": str(each.path)} for each in problems]}
        )
    else:
        for problem in problems:
            print(output.plain(f"{problem.path}: {problem.reason}"))
        print(f"{len(found) - len(problems)} of {len(found)} checkpoints are intact")
    raise typer.Exit(code=1 if problems else 0)


def _checkpoints_at(path: str) -> list[Location]:
    at = locate(path)
    if at.kind is None and not at.is_link():
        raise ArgumentError(f"There is no run or checkpoint {path!r}.")
    if at.kind == "directory" and not holds_checkpoint(at):
        return [locate(each.path) for each in open_run(at).checkpoints]
    return [at]


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Path or URL of a checkpoint.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Path or URL of the checkpoint to compare it with.")],
    json: output.AsJson = False,
) -> None:
    """Compare two checkpoints. Shows which arrays differ, by how much, and where model configurations differ."""
    with arrays.open_weights(locate(a)) as ours, arrays.open_weights(locate(b)) as theirs:
        changes = list(compare.changes(ours, theirs))
    settings = compare.config_changes(arrays.config(locate(a)), arrays.config(locate(b)))
    if json:
        config = [{"place": place, "a": before, "b": after} for place, before, after in settings]
        output.write_json({"arrays": [asdict(each) for each in changes], "config": config})
        return
    rows = [[each.name, each.what, output.number(each.norm), output.number(each.relative)] for each in changes]
    output.write_table(["array", "", ">norm of change", ">relative"], rows)
    for place, before, after in settings:
        print(output.plain(f"config {place}: {before!r} in A, {after!r} in B"))
    differing = sum(each.what != "same" for each in changes)
    print(f"{differing} of {len(changes)} arrays and {len(settings)} settings differ")
