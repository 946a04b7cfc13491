"""Loading of a checkpoint into a model that you have built."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ArgumentError, RestoreError
from .._formats import Format, format_at
from .._keras import ModelAdapter, adapt
from .._state import model as model_state
from .._state import randomness
from .._storage import Location, locate
from .found import Found, explaining, open_checkpoint


@dataclass(frozen=True)
class Progress:
    """How far training was when a checkpoint was saved.

    Attributes:
        path: The checkpoint.
        step: The optimizer's step, or the step that your own loop passed.
        epoch: The epoch, counted from 1; 0 if the loop has no epochs.
        batch: Batches done in it; None at its end.
        metrics: The scalars of the logs, by name.
        extra: The values that your own loop saved with it; None otherwise.
    """

    path: str
    step: int
    epoch: int
    batch: int | None
    metrics: Mapping[str, float]
    extra: Any = None


def restore(model: Any, path: str | os.PathLike[str]) -> Progress:
    """Restore ``model`` and the global random number generators from a checkpoint that lastgood wrote.

    This restores weights, optimizer, the seeds of random layers, the metrics' accumulators if the model has built its
    metrics, and the generators of Python, NumPy, torch, TensorFlow and Keras. Only :class:`ModelCheckpoint` restores
    the states of callbacks.

    >>> progress = lastgood.restore(model, "runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        model: A built model, compiled as it was.
        path: A checkpoint that lastgood wrote.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; the message names the variable or region.
        RestoreError: A ValueError: there is no checkpoint at ``path``, it does not match the model, or lastgood did not
            write it.
        ArgumentError: A ValueError: ``model`` is not built.
    """
    at = _existing(model, path)
    return put_in_place(open_checkpoint(at, format_at(at)), adapt(model))


def put_in_place(found: Found, adapter: ModelAdapter) -> Progress:
    """Restore a model from a checkpoint that was found."""
    found.restore(adapter)
    if adapter.metrics_are_built():  # else the next batch creates them
        put_back_metrics(found, adapter, "The metrics start from zero.")
    model_state.put_back_replica(adapter, found.state.get("replica", ()), f"the checkpoint {str(found.at)!r}")
    randomness.put_back(found.state["randomness"])
    record = found.record
    extra = found.state.get("extra")
    return Progress(str(found.at), record.step, record.epoch, record.batch, record.metrics, extra)


def put_back_metrics(found: Found, adapter: ModelAdapter, otherwise: str) -> None:
    """Restore the values of the metrics, or warn that the model has other metrics now.

    Args:
        found: The checkpoint.
        adapter: The model.
        otherwise: The consequence of other metrics, as a sentence.
    """
    try:
        model_state.put_back_metrics(adapter, found.state["metrics"])
    except RestoreError as error:
        warnings.warn(f"{error} {otherwise}", stacklevel=3)


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Load the weights of a checkpoint into ``model``, and the optimizer's state if the file has it.

    A checkpoint that lastgood wrote is verified first: if it is damaged, nothing is loaded. The tensors of a file are
    then read directly into the model. Files that stock Keras wrote are loaded, too. The configuration is ignored, and
    no code in a file is run. An HDF5 file with links, or with compressed or external arrays, is refused.

    >>> lastgood.load_weights(model, "runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        model: A built model with the shapes that were saved.
        path: A ``.keras``, ``.weights.h5``, ``.h5`` or ``.hdf5`` file, or a directory of weights or of a model.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; the message names the variable or region.
        RestoreError: A ValueError: there is no checkpoint at ``path``, or it does not match the model.
        ArgumentError: A ValueError: ``model`` is not built.
    """
    at = _existing(model, path)
    load_into(adapt(model), at, format_at(at))


def _existing(model: Any, path: str | os.PathLike[str]) -> Location:
    at = locate(path)
    if at.kind is None:
        raise RestoreError(f"There is no checkpoint at {str(at)!r}. Check the path.")
    if not model.built:
        raise ArgumentError(
            "The model is not built, so it has no weights to load into. Call it on a batch, or build() it."
        )
    return at


def load_into(adapter: ModelAdapter, at: Location, file_format: Format) -> None:
    """Load the weights of a checkpoint whose format is known.

    Raises:
        RestoreError: It cannot be loaded; the message says why.
    """
    with explaining(at), file_format.loading(adapter, at) as fill:
        fill()
