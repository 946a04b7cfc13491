"""What a checkpoint says of itself, and of what trained it."""

import platform
import time
from functools import cache
from importlib.metadata import version

from .._formats import Format
from .._keras import ModelAdapter
from .._moment import Moment
from .._record import Record


def record_of(moment: Moment, adapter: ModelAdapter, file_format: Format, *, run: str, template: str) -> Record:
    """Return the record of a save.

    Args:
        moment: When it is.
        adapter: The model.
        file_format: The format.
        run: The run that it belongs to.
        template: The template, below the run's directory.
    """
    return Record(
        step=moment.step,
        epoch=moment.epoch,
        batch=moment.batch,
        metrics=moment.metrics,
        format=file_format.name,
        created=time.time(),
        versions=_versions(adapter),
        run=run,
        template=template,
    )


def environment(adapter: ModelAdapter) -> dict[str, str]:
    """Return what trains a model here, by name."""
    return {**_versions(adapter), "python": platform.python_version(), "system": platform.platform()}


def _versions(adapter: ModelAdapter) -> dict[str, str]:
    return {"lastgood": _own_version(), adapter.generation: adapter.version(), "backend": adapter.backend()}


@cache
def _own_version() -> str:
    return version("lastgood")
