"""Callbacks that may read the files that a save writes: those with a hook that no known package defines."""

from collections.abc import Iterable
from typing import Any

# Callbacks of these packages, Keras and common loggers and tuners, do not open the files of a checkpoint callback.
_INCURIOUS = frozenset(
    {
        "keras",
        "tf_keras",
        "lastgood",
        "aim",
        "clearml",
        "comet_ml",
        "keras_tuner",
        "mlflow",
        "neptune",
        "neptune_tensorflow_keras",
        "optuna",
        "optuna_integration",
        "tqdm",
        "wandb",
    }
)
# Keras's own hook for a batch calls the hook of the older name.
_OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def onlooker(members: Iterable[Any], hook: str) -> Any:
    """Return the first callback that may read a file in a hook; None if there is none.

    A callback with ``async_safe = True`` may run in parallel with training, so it does not rely on the file.

    Args:
        members: The callbacks.
        hook: The hook's name.
    """
    return next((each for each in members if not getattr(each, "async_safe", False) and has_code(each, hook)), None)


def has_code(member: Any, name: str) -> bool:
    """Return True if a callback's method, or a function in its place, comes from none of the known packages."""
    found = (package_of(member, each) for each in (name, _OLDER_NAMES.get(name)) if each)
    return any(package is not None and package not in _INCURIOUS for package in found)


def package_of(owner: Any, name: str) -> str | None:
    """Return the package that an object's method is defined in; None if it has no such method.

    A function set on the object itself may replace the method.
    """
    own = vars(owner).get(name) if hasattr(owner, "__dict__") else None
    found = own if own is not None else getattr(type(owner), name, None)
    found = getattr(found, "fget", found)  # lastgood's hook for batches is a property
    return None if found is None else str(getattr(found, "__module__", "")).partition(".")[0]
