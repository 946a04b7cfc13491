"""Loading of a whole model from a checkpoint."""

import os
from collections.abc import Mapping
from typing import Any

from ._errors import MissingExtraError, RestoreError
from ._formats import format_at
from ._keras import Generation, default_generation, loader_class
from ._storage import locate


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Return the model in a checkpoint, as ``keras.saving.load_model`` returns it.

    A checkpoint that lastgood wrote is verified first: if it is damaged, no model is created. Stock Keras then creates
    the model from its configuration, and the tensors of a ``.keras`` archive are read directly into it. Files that
    stock Keras wrote are loaded, too. With ``TF_USE_LEGACY_KERAS=1``, the model is a ``tf_keras`` model;
    ``lastgood.tf_keras.load_model`` always returns one.

    A configuration can run code, even in safe mode: load models only from sources that you trust.

    >>> model = lastgood.load_model("runs/07-0.31.keras")  # doctest: +SKIP

    Args:
        path: A ``.keras``, ``.h5`` or ``.hdf5`` file of a whole model, or its directory; a path or a URL.
        custom_objects: Your own classes and functions, by the names that the configuration uses for them.
        compile: Whether to compile the model as it was saved, and to load the optimizer's state.
        safe_mode: Whether to refuse a configuration that contains code, such as a lambda.

    Raises:
        CorruptCheckpointError: A RestoreError: the checkpoint is damaged; the message names the variable or region.
        RestoreError: A ValueError: there is no checkpoint at ``path``, or it contains weights but no model.
        MissingExtraError: An ImportError: Keras, or its backend, is not installed.
        Exception: Whatever stock Keras raises for a configuration that it cannot load.
    """
    return load_model_of(default_generation(), path, custom_objects, compile=compile, safe_mode=safe_mode)


def load_model_of(
    generation: Generation,
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None,
    *,
    compile: bool,
    safe_mode: bool,
) -> Any:
    """Return the model in a checkpoint, as one of a generation of Keras. See :func:`load_model`."""
    at = locate(path)
    if at.kind is None:
        raise RestoreError(f"There is no checkpoint at {str(at)!r}. Check the path.")
    try:
        loader = loader_class(generation)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    return format_at(at).load_model(at, loader(custom_objects, compile, safe_mode))
