"""One save, from the model to a checkpoint that is visible and durable."""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from ._errors import LastgoodError, SaveError, is_system_error
from ._formats import Format
from ._policies.monitor import as_scalar
from ._preflight import check_replaceable
from ._record import Record
from ._storage import Storage


def save_checkpoint(model: Any, path: str, file_format: Format, storage: Storage, record: Record) -> None:
    """Save ``model`` to ``path``; on return the checkpoint is durable.

    Raises:
        ArgumentError: The format cannot hold the model.
        SaveError: The storage refused. What was at ``path`` is still there, whole.
        Exception: The model cannot be saved, as its own code or Keras says; a note names the path.
    """
    target = Path(path)
    file_format.check_model(model)
    check_replaceable(target, file_format)
    try:
        with storage.stage(target, file_format.suffix) as temporary:
            file_format.write(model, temporary, record)
    except LastgoodError:
        raise
    except Exception as error:
        if is_system_error(error):
            raise SaveError.during("save the checkpoint", path, error) from error
        error.add_note(f"This happened while lastgood saved the checkpoint {os.fspath(target)!r}; it was not written.")
        raise


def describe(
    model: Any, file_format: Format, *, epoch: int, batch: int | None, steps: int | None, logs: Mapping[str, Any]
) -> Record:
    """Return the record of a save.

    Args:
        model: The model as it is to be saved.
        file_format: The format it is saved in.
        epoch: The epoch, counted from 1.
        batch: Batches done in it; None at its end.
        steps: Batches of an epoch, where known.
        logs: The logs of the hook; their scalars become the record's metrics.
    """
    metrics = {name: number for name, value in logs.items() if (number := as_scalar(value)) is not None}
    return Record(
        step=_step(model, epoch=epoch, batch=batch, steps=steps or 1),
        epoch=epoch,
        batch=batch,
        metrics=metrics,
        format=file_format.name,
        created=time.time(),
        versions={"lastgood": version("lastgood"), "keras": keras.version(), "backend": keras.backend.backend()},
    )


def _step(model: Any, *, epoch: int, batch: int | None, steps: int) -> int:
    """Return the optimizer's step; a model that trains without one has its batches counted."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    if iterations is not None:
        return int(keras.ops.convert_to_numpy(iterations))
    return epoch * steps if batch is None else (epoch - 1) * steps + batch


def state_bytes(model: Any) -> int:
    """Return the size of what a save holds: weights, and the optimizer's state as far as it is built."""
    variables = {id(v): v for v in [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]}
    return sum(_size(v) for v in variables.values())


def _size(variable: Any) -> int:
    count = 1
    for dimension in variable.shape:
        count *= dimension
    return count * max(1, _bits(keras.backend.standardize_dtype(variable.dtype)) // 8)


def _bits(dtype: str) -> int:
    digits = "".join(c for c in dtype.partition("_")[0] if c.isdigit())
    return int(digits) if digits else 8
