"""Keras's ``ModelCheckpoint`` to the letter, whose files are whole or absent, never in between.

>>> from lastgood import ModelCheckpoint
>>> ckpt = ModelCheckpoint("runs/digits/{epoch:02d}.keras")  # then: model.fit(..., callbacks=[ckpt])

Importing this package imports neither Keras nor a backend; the first use of :class:`ModelCheckpoint` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._errors import (
    ArgumentError,
    ArgumentTypeError,
    CorruptCheckpointError,
    LastgoodError,
    MissingExtraError,
    MonitorError,
    NotExactError,
    PlaceholderError,
    RestoreError,
    SaveError,
    TargetIsDirectoryError,
)

if TYPE_CHECKING:
    from ._callback import ModelCheckpoint
    from ._custom_loop import Checkpointer
    from ._restore import Progress, load_weights, restore
    from ._verify_resume import verify_resume

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "Checkpointer",
    "CorruptCheckpointError",
    "LastgoodError",
    "MissingExtraError",
    "ModelCheckpoint",
    "MonitorError",
    "NotExactError",
    "PlaceholderError",
    "Progress",
    "RestoreError",
    "SaveError",
    "TargetIsDirectoryError",
    "__version__",
    "load_weights",
    "restore",
    "verify_resume",
]


# What needs Keras, and the module that it is in.
_ON_KERAS = {
    "Checkpointer": "_custom_loop",
    "ModelCheckpoint": "_callback",
    "Progress": "_restore",
    "load_weights": "_restore",
    "restore": "_restore",
    "verify_resume": "_verify_resume",
}


def __getattr__(name: str) -> Any:
    """Import what needs Keras, and Keras with it, when it is first asked for."""
    if name not in _ON_KERAS:
        raise AttributeError(f"module 'lastgood' has no attribute {name!r}")
    try:
        globals()[name] = getattr(import_module(f".{_ON_KERAS[name]}", __name__), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
