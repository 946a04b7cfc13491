"""The deprecated arguments of ``ModelCheckpoint``, which still work."""

import warnings
from collections.abc import Mapping
from typing import Any

from .._errors import ArgumentTypeError

_DEPRECATED = {
    "period": "Please use `save_freq` to specify the frequency in number of batches seen.",
    "load_weights_on_restart": "Please use `model.load_weights()` before `model.fit()`.",
}


def warn_of_deprecated(kwargs: Mapping[str, Any], owner: str) -> None:
    """Warn about each deprecated argument.

    Raises:
        ArgumentTypeError: An argument is unknown.
    """
    for name in kwargs:
        if name not in _DEPRECATED:
            raise ArgumentTypeError(f"{owner} has no argument '{name}'.")
        warnings.warn(f"`{name}` argument is deprecated. {_DEPRECATED[name]}", DeprecationWarning, stacklevel=4)
