"""A drop-in for Keras's ``ModelCheckpoint`` whose files are whole or absent, never in between.

>>> from lastgood import ModelCheckpoint
>>> ckpt = ModelCheckpoint("runs/digits/{epoch:02d}.keras")  # then: model.fit(..., callbacks=[ckpt])

Importing this package imports neither Keras nor a backend; your first use of :class:`ModelCheckpoint` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._errors import (
    ArgumentError,
    ArgumentTypeError,
    CorruptCheckpointError,
    GroupError,
    LastgoodError,
    MissingExtraError,
    MonitorError,
    NotExactError,
    PlaceholderError,
    RestoreError,
    RunInUseError,
    SaveError,
    StoreError,
    TargetIsDirectoryError,
)

if TYPE_CHECKING:
    from ._callback.keras3 import ModelCheckpoint
    from ._checkpoint import Checkpoint, Problem
    from ._loading import load_model
    from ._loop.checkpointer import Checkpointer
    from ._loop.verify_resume import verify_resume
    from ._moment import Moment
    from ._policies.schedule import Budget, Epochs, Schedule
    from ._restoring import Progress, load_weights, restore
    from ._run import Run, open_run

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "Budget",
    "Checkpoint",
    "Checkpointer",
    "CorruptCheckpointError",
    "Epochs",
    "GroupError",
    "LastgoodError",
    "MissingExtraError",
    "ModelCheckpoint",
    "Moment",
    "MonitorError",
    "NotExactError",
    "PlaceholderError",
    "Problem",
    "Progress",
    "RestoreError",
    "Run",
    "RunInUseError",
    "SaveError",
    "Schedule",
    "StoreError",
    "TargetIsDirectoryError",
    "__version__",
    "load_model",
    "load_weights",
    "open_run",
    "restore",
    "verify_resume",
]


# Names that are imported when first used, and their modules. Most of them need Keras.
_LAZY = {
    "Budget": "_policies.schedule",
    "Checkpoint": "_checkpoint",
    "Checkpointer": "_loop.checkpointer",
    "Epochs": "_policies.schedule",
    "Moment": "_moment",
    "Problem": "_checkpoint",
    "Progress": "_restoring",
    "Run": "_run",
    "Schedule": "_policies.schedule",
    "load_model": "_loading",
    "load_weights": "_restoring",
    "open_run": "_run",
    "restore": "_restoring",
    "verify_resume": "_loop.verify_resume",
}


def __getattr__(name: str) -> Any:
    """Return a name that is imported when first used, because it needs more than the standard library."""
    if name not in __all__:
        raise AttributeError(f"module 'lastgood' has no attribute {name!r}")
    try:
        if name == "ModelCheckpoint":
            from ._callback import model_checkpoint
            from ._keras import default_generation

            globals()[name] = model_checkpoint(default_generation())
        else:
            globals()[name] = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
