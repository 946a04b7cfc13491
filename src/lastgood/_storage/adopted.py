"""What a writer that chooses its own file names has left in a directory, moved to where it would have written it."""

import shutil
from pathlib import Path

from . import groups
from .base import Stage
from .location import Location


def adopt(directory: Path, at: Location, stage: Stage) -> None:
    """Move what lies in a directory to a stage, and what is no part of the checkpoint beside its place.

    A stage to which nothing has come is withdrawn: the writer has saved elsewhere.

    Args:
        directory: The directory, in which the checkpoint has the name that it is to have.
        at: Where the checkpoint is to appear.
        stage: Its stage.

    Raises:
        OSError: The storage failed.
    """
    stage.withdrawn = True
    for made in sorted(directory.iterdir()):
        rest = made.name.removeprefix(at.name)
        if made.name == at.name or (made.name == at.name + rest and groups.belongs_to_group(made.name)):
            shutil.move(made, stage.path.with_name(stage.path.name + rest))
            stage.withdrawn = False
        else:
            beside = at.with_name(made.name)
            with beside.storage.stage(beside.path, made.suffix) as other:
                shutil.move(made, other.path)
