"""The callback for ``tf_keras`` and, with ``TF_USE_LEGACY_KERAS=1``, for ``tf.keras``."""

import os
from collections.abc import Mapping
from typing import Any

from ._errors import MissingExtraError
from ._loading import load_model_of

try:
    from ._callback.tf_keras2 import ModelCheckpoint
except ModuleNotFoundError as error:
    if error.name not in ("tf_keras", "tensorflow"):
        raise
    raise MissingExtraError.for_feature("lastgood.tf_keras", "tf-keras", "tf-keras") from error

__all__ = ["ModelCheckpoint", "load_model"]


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Return the ``tf_keras`` model in a checkpoint. See :func:`lastgood.load_model`.

    Args:
        path: A ``.keras``, ``.h5`` or ``.hdf5`` file of a whole model, or a SavedModel directory; a path or a URL.
        custom_objects: Your own classes and functions, by the names that the configuration uses for them.
        compile: Whether to compile the model as it was saved, and to load the optimizer's state.
        safe_mode: Whether to refuse a configuration that contains code, such as a lambda.
    """
    return load_model_of("tf_keras", path, custom_objects, compile=compile, safe_mode=safe_mode)
