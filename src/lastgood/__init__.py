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
    RunInUseError,
    SaveError,
    TargetIsDirectoryError,
)
from ._switch import wants_tf_keras

if TYPE_CHECKING:
    from ._custom_loop import Checkpointer
    from ._model_checkpoint import ModelCheckpoint
    from ._policies.save import Budget
    from ._restore import Progress, load_weights, restore
    from ._run import Checkpoint, Problem, Run, open_run
    from ._verify_resume import verify_resume

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "Budget",
    "Checkpoint",
    "Checkpointer",
    "CorruptCheckpointError",
    "LastgoodError",
    "MissingExtraError",
    "ModelCheckpoint",
    "MonitorError",
    "NotExactError",
    "PlaceholderError",
    "Problem",
    "Progress",
    "RestoreError",
    "Run",
    "RunInUseError",
    "SaveError",
    "TargetIsDirectoryError",
    "__version__",
    "load_weights",
    "open_run",
    "restore",
    "verify_resume",
]


# What is imported when it is first asked for, and the module that it is in. Most of it needs Keras.
_LAZY = {
    "Budget": "_policies.save",
    "Checkpoint": "_run",
    "Problem": "_run",
    "Run": "_run",
    "open_run": "_run",
    "Checkpointer": "_custom_loop",
    "ModelCheckpoint": "_model_checkpoint",
    "Progress": "_restore",
    "load_weights": "_restore",
    "restore": "_restore",
    "verify_resume": "_verify_resume",
}


def __getattr__(name: str) -> Any:
    """Import what needs more than the standard library when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module 'lastgood' has no attribute {name!r}")
    module = _LAZY[name]
    if name == "ModelCheckpoint" and wants_tf_keras():
        module = "tf_keras"
    try:
        globals()[name] = getattr(import_module(f".{module}", __name__), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
