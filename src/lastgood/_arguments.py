"""The arguments of ``ModelCheckpoint`` that the contract has a word on: types, deprecated names, warnings."""

import os
import sys
import warnings
from typing import Any

from ._errors import ArgumentError, ArgumentTypeError
from ._formats import Format

_DEPRECATED = {
    "period": "Please use `save_freq` to specify the frequency in number of batches seen.",
    "load_weights_on_restart": "Please use `model.load_weights()` before `model.fit()`.",
}


def as_string(filepath: Any) -> str:
    """Return ``filepath`` as text.

    Raises:
        ArgumentTypeError: It is no path.
        ArgumentError: It is the address of an object store.
    """
    path = os.fspath(filepath) if isinstance(filepath, os.PathLike) else filepath
    if not isinstance(path, str):
        raise ArgumentTypeError(
            f"filepath must be a str or os.PathLike, got {filepath!r} of {type(filepath).__name__}."
        )
    scheme, separator, _ = path.partition("://")
    if separator and scheme.isalnum():
        raise ArgumentError(f"filepath {path!r} is not on a file system. Save to a local or mounted path.")
    return path


def known_mode(mode: str, owner: str) -> str:
    """Return ``mode``; one that is unknown is ``"auto"``, with a warning."""
    if mode in ("auto", "min", "max"):
        return mode
    warnings.warn(f"{owner} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
    return "auto"


def check_options(options: Any, file_format: Format, filepath: str, *, weights_only: bool) -> None:
    """Check ``options`` as the contract's line 2 says.

    Raises:
        ArgumentTypeError: They are of a wrong type.
        ArgumentError: They are of the right one.
    """
    if options is None:
        return
    module, name = ("train", "CheckpointOptions") if weights_only else ("saved_model", "SaveOptions")
    tensorflow = sys.modules.get("tensorflow")  # options of its type cannot come from a module never imported
    if tensorflow is None or not isinstance(options, getattr(getattr(tensorflow, module), name)):
        raise ArgumentTypeError(
            f"If save_weights_only is {weights_only}, then `options` must be either None or a "
            f"tf.{module}.{name}. Got {options!r} of type {type(options).__name__}."
        )
    if not file_format.takes_options:
        raise ArgumentError(
            f"The format '{file_format.name}' of filepath {filepath!r} has no use for the `options` argument. Please "
            "remove it. (TensorFlow's own formats have, which only tf_keras writes.)"
        )


def warn_of_deprecated(kwargs: dict[str, Any], owner: str) -> None:
    """Warn of each deprecated argument.

    Raises:
        ArgumentTypeError: There is another one.
    """
    for name in kwargs:
        if name not in _DEPRECATED:
            raise ArgumentTypeError(f"{owner} has no argument '{name}'.")
        warnings.warn(f"`{name}` argument is deprecated. {_DEPRECATED[name]}", DeprecationWarning, stacklevel=3)
