"""``export`` and ``average``: write weights of checkpoints to other files."""

from typing import Annotated

import typer

from .._inspect import export as exports
from .._storage import locate
from . import output


def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, such as a .keras file.")],
    to: Annotated[str, typer.Option(help="File to write: .weights.h5, .keras or .safetensors.")],
    optimizer: Annotated[bool, typer.Option("--optimizer", help="Include the optimizer's state.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Write floating-point numbers in half precision.")] = False,
    json: output.AsJson = False,
) -> None:
    """Write a checkpoint's weights to another file."""
    exports.export(locate(checkpoint), locate(to), optimizer=optimizer, half=half)
    output.write_done("wrote", to, as_json=json)


def average(
    checkpoints: Annotated[list[str], typer.Argument(metavar="CHECKPOINT", help="Checkpoints of the same model.")],
    to: Annotated[str, typer.Option(help="File to write: .weights.h5 or .keras.")],
    json: output.AsJson = False,
) -> None:
    """Average the weights of several checkpoints into a new file."""
    exports.average([locate(each) for each in checkpoints], locate(to))
    output.write_done("wrote", to, as_json=json)
