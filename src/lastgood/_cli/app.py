"""The command and its subcommands."""

import sys

import typer

from .._errors import CorruptCheckpointError, LastgoodError
from . import demo, listing, output, reporting, tidying
from . import exporting as making
from . import inspecting as looking

_DAMAGED, _REFUSED = 1, 2

app = typer.Typer(
    name="lastgood",
    help="List, inspect, verify and prune Keras checkpoints.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    listing.ls,
    listing.watch,
    looking.show,
    looking.verify,
    looking.diff,
    tidying.prune,
    tidying.pin,
    tidying.unpin,
    making.export,
    making.average,
    reporting.report,
    demo.demo,
):
    app.command()(command)


def main() -> None:
    """Run the command; exit with status 1 if a checkpoint is damaged, and 2 if the command fails."""
    try:
        app()
    except CorruptCheckpointError as error:
        print(output.plain(f"lastgood: {error}"), file=sys.stderr)
        sys.exit(_DAMAGED)
    except (LastgoodError, OSError) as error:
        print(output.plain(f"lastgood: {error}"), file=sys.stderr)
        sys.exit(_REFUSED)
