"""The record of a checkpoint, and the description of what trained it."""

import contextlib
import math
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from .._formats import Format
from .._keras import ModelAdapter
from .._moment import Moment
from .._record import Record
from .._storage import working_directory
from .revision import revision


def record_of(moment: Moment, adapter: ModelAdapter, file_format: Format, *, run: str, template: str) -> Record:
    """Return the record of a save.

    Args:
        moment: The point in training of the save.
        adapter: The model.
        file_format: The format.
        run: The run that it belongs to.
        template: The template, relative to the run's directory.
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


def beginning(adapter: ModelAdapter, settings: Mapping[str, Any], fit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the journal's entry for a start of training. It has no secrets, and collecting it uses up no batch.

    Args:
        adapter: The model.
        settings: The arguments of the callback, or of the object that saves in a loop of your own.
        fit: Facts about the ``fit``, such as its epochs.
    """
    here = working_directory()
    return {
        "environment": environment(adapter),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "code": revision(here) if here else {},
        "settings": dict(settings),
        "training": {**fit, **_model(adapter)},
    }


def environment(adapter: ModelAdapter) -> dict[str, str]:
    """Return the versions of all that trains a model here, by name."""
    backend = adapter.backend()
    known = getattr(sys.modules.get(backend), "__version__", None)
    versions = {**_versions(adapter), **({backend: known} if isinstance(known, str) else {})}
    return {**versions, "python": platform.python_version(), "system": platform.platform()}


def _model(adapter: ModelAdapter) -> dict[str, Any]:
    """Return the number of a model's parameters, and its optimizers by the attributes that hold them."""
    facts: dict[str, Any] = {}
    if count := sum(math.prod(weight.shape) for weight in adapter.weights()):
        facts["parameters"] = count
    for name, optimizer in adapter.optimizers().items():
        facts[name] = type(optimizer).__name__
        with contextlib.suppress(Exception):  # this may run the user's code
            rate = float(adapter.to_numpy(optimizer.learning_rate))
            facts |= {f"{name} learning rate": rate} if math.isfinite(rate) else {}
    return facts


def _versions(adapter: ModelAdapter) -> dict[str, str]:
    return {"lastgood": _own_version(), adapter.generation: adapter.version(), "backend": adapter.backend()}


@cache
def _own_version() -> str:
    return version("lastgood")
