"""Files from a writer that chooses its own file names, moved to where it would have written them."""

import shutil
from pathlib import Path

from . import groups
from .base import Stage
from .location import Location


def adopt(directory: Path, at: Location, stage: Stage) -> None:
    """Move a checkpoint from a directory to a stage, and any other files next to the checkpoint's path.

    If nothing was moved to the stage, it is withdrawn: the writer has saved elsewhere.

    Args:
        directory: The directory, in which the checkpoint already has its final name.
        at: The location at which the checkpoint will appear.
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
