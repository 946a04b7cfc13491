"""Keras's ``ModelCheckpoint`` to the letter, whose files are whole or absent, never in between.

>>> from lastgood import ModelCheckpoint
>>> ckpt = ModelCheckpoint("runs/digits/{epoch:02d}.keras")  # then: model.fit(..., callbacks=[ckpt])

Importing this package imports neither Keras nor a backend; the first use of :class:`ModelCheckpoint` does.
"""

from typing import TYPE_CHECKING, Any

from ._errors import (
    ArgumentError,
    ArgumentTypeError,
    LastgoodError,
    MissingExtraError,
    MonitorError,
    PlaceholderError,
    RestoreError,
    SaveError,
    TargetIsDirectoryError,
)

if TYPE_CHECKING:
    from ._callback import ModelCheckpoint

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "LastgoodError",
    "MissingExtraError",
    "ModelCheckpoint",
    "MonitorError",
    "PlaceholderError",
    "RestoreError",
    "SaveError",
    "TargetIsDirectoryError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the callback, and Keras with it, when it is first asked for."""
    if name != "ModelCheckpoint":
        raise AttributeError(f"module 'lastgood' has no attribute {name!r}")
    try:
        from ._callback import ModelCheckpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    globals()[name] = ModelCheckpoint
    return ModelCheckpoint


def __dir__() -> list[str]:
    return sorted(__all__)
