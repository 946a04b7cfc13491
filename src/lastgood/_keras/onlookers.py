"""Which callbacks may look at what a save has written: those with code of somebody else's in a hook."""

from collections.abc import Iterable
from typing import Any

# Callbacks of these packages open no file of a checkpoint callback: Keras's own, and the loggers and tuners in use.
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
# Keras's own hook for a batch calls the one that it was called before.
_OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def onlooker(members: Iterable[Any], hook: str) -> Any:
    """Return the first callback that may look at a file in a hook; None if none does.

    One that says ``async_safe = True`` may run beside training, and so does not count on what is there.

    Args:
        members: The callbacks.
        hook: The hook's name.
    """
    return next((each for each in members if not getattr(each, "async_safe", False) and has_code(each, hook)), None)


def has_code(member: Any, name: str) -> bool:
    """Return True if a callback's method, or the function in its place, is of none of the packages known here."""
    found = (package_of(member, each) for each in (name, _OLDER_NAMES.get(name)) if each)
    return any(package is not None and package not in _INCURIOUS for package in found)


def package_of(owner: Any, name: str) -> str | None:
    """Return the package that an object's method is defined in; None if it has no such method.

    A function may have been put in the method's place on the object itself.
    """
    own = vars(owner).get(name) if hasattr(owner, "__dict__") else None
    found = own if own is not None else getattr(type(owner), name, None)
    found = getattr(found, "fget", found)  # of our own hook for batches, which is computed
    return None if found is None else str(getattr(found, "__module__", "")).partition(".")[0]
