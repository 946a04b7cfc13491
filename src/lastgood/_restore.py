"""State from a checkpoint into a model that the user has built."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _frameworks
from ._errors import ArgumentError, LastgoodError, RestoreError
from ._formats import Format, format_at
from ._storage import entries
from ._training import randomness
from ._training.resume import Found, open_checkpoint, put_back_variables


@dataclass(frozen=True)
class Progress:
    """How far training was when a checkpoint was saved.

    Attributes:
        path: The checkpoint.
        step: The optimizer's step, or what the loop called it.
        epoch: The epoch, counted from 1; 0 where the loop has none.
        batch: Batches done in it; None at its end.
        metrics: The scalars of the logs, by name.
        extra: What the user's own loop saved with it; None otherwise.
    """

    path: str
    step: int
    epoch: int
    batch: int | None
    metrics: Mapping[str, float]
    extra: Any = None


def restore(model: Any, path: str | os.PathLike[str]) -> Progress:
    """Put all that a checkpoint of lastgood holds into ``model``, and the global randomness back as it was.

    Weights, optimizer, the seeds of random layers, the metrics' accumulators if the model has built its metrics, and
    the generators of Python, NumPy, torch, TensorFlow and Keras. The callbacks' states are for
    :class:`ModelCheckpoint` alone.

    >>> progress = lastgood.restore(model, "runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        model: A built model, compiled as it was.
        path: A checkpoint of lastgood.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; says in which variable or region.
        RestoreError: A ValueError: there is none at ``path``, or not one of this model, or lastgood did not write it.
        ArgumentError: A ValueError: ``model`` is not built.
    """
    path = _existing(model, path)
    return put_in_place(open_checkpoint(path, format_at(path)), model)


def put_in_place(found: Found, model: Any) -> Progress:
    """Put a checkpoint that was found into a model."""
    found.restore(model)
    framework = _frameworks.of(model)
    if framework.metrics_are_built(model):  # else they begin with the next batch
        try:
            put_back_variables(
                framework, framework.metrics_variables(model), found.state["metrics"], "the checkpoint's metrics"
            )
        except RestoreError as error:
            warnings.warn(f"{error} The metrics start anew.", stacklevel=3)
    randomness.put_back(found.state["randomness"])
    record = found.record
    extra = found.state.get("extra")
    return Progress(str(found.path), record.step, record.epoch, record.batch, record.metrics, extra)


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Load the weights of a checkpoint into ``model``, and the optimizer's state where the file has it.

    A checkpoint of lastgood is checked against its digests first: if it is damaged, nothing is loaded. The tensors of a
    file are then read straight into the model. What stock Keras wrote is loaded as well. No configuration is looked at,
    and nothing in a file is run. An HDF5 file that holds links, or arrays that are compressed or kept elsewhere, is
    refused.

    >>> lastgood.load_weights(model, "runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        model: A built model of the shapes that were saved.
        path: A ``.keras``, ``.weights.h5``, ``.h5`` or ``.hdf5`` file, or a directory of weights or of a model.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; says in which variable or region.
        RestoreError: A ValueError: there is no checkpoint at ``path``, or not one of this model.
        ArgumentError: A ValueError: ``model`` is not built.
    """
    path = _existing(model, path)
    load_weights_as(model, path, format_at(path))


def _existing(model: Any, path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not entries.is_checkpoint_like(path):
        raise RestoreError(f"There is no checkpoint at {os.fspath(path)!r}. Check the path.")
    if not model.built:
        raise ArgumentError(
            "The model is not built, so it has no weights to load into. Call it on a batch, or build() it."
        )
    return path


def load_weights_as(model: Any, path: Path, file_format: Format) -> None:
    """Load the weights of a checkpoint whose format is known.

    Raises:
        RestoreError: It cannot be loaded; says why.
    """
    try:
        file_format.load_weights(model, path)
    except LastgoodError:
        raise
    except Exception as error:
        raise RestoreError(f"Error loading file from {path}. Reason: {error}") from error
