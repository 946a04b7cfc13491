"""``prune``, ``pin`` and ``unpin``: decide which checkpoints of a run to keep."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from .._errors import ArgumentError
from .._run import Run, open_run
from .._storage import locate
from . import output
from .listing import Directory, Mode, Monitor

CheckpointArgument = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Path or URL of a checkpoint.")]
RunOfIt = Annotated[str | None, typer.Option(help="The run, if it is not the checkpoint's directory.")]
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def prune(
    run: Directory,
    keep_last: Annotated[int | None, typer.Option(help="Number of latest checkpoints to keep.")] = None,
    keep_best: Annotated[int | None, typer.Option(help="Number of best checkpoints to keep, by --monitor.")] = None,
    keep_every: Annotated[
        str | None, typer.Option(help="Keep the first checkpoint of every N steps or time span: 1000, 30min, 6h, 1d.")
    ] = None,
    monitor: Monitor = None,
    mode: Mode = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    json: output.AsJson = False,
) -> None:
    """Delete checkpoints that no rule keeps. The best, the latest and pinned ones always stay."""
    opened = open_run(run)
    gone = opened.prune(
        keep_last=keep_last,
        keep_best=keep_best,
        keep_every=_span(keep_every),
        monitor=monitor,
        mode=mode,
        dry_run=dry_run,
    )
    names = [opened.name_of(each) for each in gone]
    freed = sum(each.size for each in gone)
    if json:
        output.write_json(
            {"deleted": [] if dry_run else names, "would_delete": names if dry_run else [], "bytes": freed}
        )
        return
    for name in names:
        print(f"{'would delete' if dry_run else 'deleted'} {output.plain(name)}")
    kept = len(opened.checkpoints) - (len(gone) if dry_run else 0)
    print(f"{len(gone)} {'checkpoint' if len(gone) == 1 else 'checkpoints'}, {output.size(freed)}; {kept} kept")


def _span(text: str | None) -> int | timedelta | None:
    if text is None or text.isdigit():
        return None if text is None else int(text)
    found = _SPAN.fullmatch(text)
    if not found:
        raise ArgumentError(
            f"Unrecognized --keep-every: {text!r}. Expected steps, such as 1000, or a time span, such as 30min."
        )
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def pin(checkpoint: CheckpointArgument, run: RunOfIt = None, json: output.AsJson = False) -> None:
    """Protect a checkpoint from pruning."""
    Run(run or locate(checkpoint).parent).pin(checkpoint)
    output.write_done("pinned", checkpoint, as_json=json)


def unpin(checkpoint: CheckpointArgument, run: RunOfIt = None, json: output.AsJson = False) -> None:
    """Allow a checkpoint to be pruned again."""
    Run(run or locate(checkpoint).parent).unpin(checkpoint)
    output.write_done("unpinned", checkpoint, as_json=json)
