"""State from a checkpoint into a model that the user has built."""

import os
from pathlib import Path
from typing import Any

from ._errors import ArgumentError, LastgoodError, RestoreError
from ._formats import Format, format_at


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Load the weights of a checkpoint into ``model``, and the optimizer's state where the file has it.

    A file of lastgood is checked against its digests first: if it is damaged, nothing is loaded. (Directories have no
    digests.) Its tensors are then read straight into the model. Every other file that stock ``model.load_weights``
    takes is loaded as well.

    >>> lastgood.load_weights(model, "runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        model: A built model of the shapes that were saved.
        path: A ``.keras``, ``.weights.h5``, ``.h5`` or ``.hdf5`` file, or a directory of weights or of a model.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; says in which variable or region.
        RestoreError: A ValueError: there is no checkpoint at ``path``, or not one of this model.
        ArgumentError: A ValueError: ``model`` is not built.
    """
    path = Path(path)
    if not path.exists():
        raise RestoreError(f"There is no checkpoint at {os.fspath(path)!r}. Check the path.")
    if not model.built:
        raise ArgumentError(
            "The model is not built, so it has no weights to load into. Call it on a batch, or build() it."
        )
    load_weights_as(model, path, format_at(path))


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
