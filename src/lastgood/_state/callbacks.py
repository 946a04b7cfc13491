"""The states of the callbacks of a ``fit``: captured at each save, and restored when training resumes from it.

A user's callback takes part by defining ``get_state()``, which returns plain values and arrays, and
``set_state(state)``. For Keras's callbacks, this module lists the attributes that change during training.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._bytes.training_block import TrainingBlock, UnpackableError
from .._errors import RestoreError
from .._keras import callback_classes

_Names = tuple[str, ...]
_KNOWN: tuple[tuple[str, _Names], ...] = (
    ("EarlyStopping", ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")),
    ("ReduceLROnPlateau", ("wait", "cooldown_counter", "best")),
    ("SwapEMAWeights", ("_ema_weights_in_model",)),
    ("TensorBoard", ("_global_train_batch", "_global_test_batch")),
    ("History", ("epoch", "history")),
)
# Callbacks that count epochs: after a restart, those listed after the callback that saved get the hook they missed.
_COUNTING = ("EarlyStopping", "ReduceLROnPlateau", "SwapEMAWeights", "History", "CSVLogger")
# Names that classes had in older versions.
_RENAMED = {"lastgood._model_checkpoint.ModelCheckpoint": "lastgood.ModelCheckpoint"}
_LONGEST_CSV = 64 * 1024 * 1024

State = Mapping[str, Any]


def take(members: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the states of all callbacks, in order; those without a state are listed, too."""
    return [{"class": _class_of(member), "state": _state_of(member)} for member in members]


def put_back(members: Sequence[Any], saved: Sequence[State]) -> None:
    """Restore the state of each callback; callbacks of the same class are matched in order."""
    for member, entry in _pairs(members, saved):
        if entry["state"] is not None:
            _set_state(member, entry["state"])


def after_saver(members: Sequence[Any], saved: Sequence[State], saver: int) -> list[Any]:
    """Return the callbacks that had not yet seen the hook in which the one at index ``saver`` saved."""
    late = {id(entry) for entry in saved[saver + 1 :]}
    return [member for member, entry in _pairs(members, saved) if id(entry) in late]


def may_load(members: Sequence[Any]) -> bool:
    """Return True if a callback may load a model at the beginning; of Keras's own, only ``BackupAndRestore`` may."""
    return any(
        isinstance(member, callback_classes("BackupAndRestore"))
        or type(member).__module__.partition(".")[0] not in ("keras", "tf_keras", "lastgood")
        for member in members
    )


def counts(member: Any) -> bool:
    """Return True if a callback has a state that the end of an epoch, or of a batch, changes."""
    return _has_own_state(member) or any(isinstance(member, callback_classes(name)) for name in _COUNTING)


def _name_saved(entry: State) -> str:
    """Return the class that a saved state belongs to, by its current name."""
    name: str = entry["class"]
    return _RENAMED.get(name, name)


def _pairs(members: Sequence[Any], saved: Sequence[State]) -> Iterator[tuple[Any, State]]:
    waiting: dict[str, list[State]] = {}
    for entry in saved:
        waiting.setdefault(_name_saved(entry), []).append(entry)
    for member in members:
        alike = waiting.get(_class_of(member))
        if alike:
            yield member, alike.pop(0)


def missing(members: Sequence[Any], saved: Sequence[State]) -> list[str]:
    """Return the classes of callbacks that have a saved state but are missing from ``members``."""
    there = Counter(map(_class_of, members))
    saved_ones = Counter(_name_saved(entry) for entry in saved if entry["state"] is not None)
    return sorted((saved_ones - there).keys())


def _class_of(member: Any) -> str:
    return f"{type(member).__module__}.{type(member).__qualname__}"


def _has_own_state(member: Any) -> bool:
    return callable(getattr(member, "get_state", None)) and callable(getattr(member, "set_state", None))


def _state_of(member: Any) -> Any:
    if _has_own_state(member):
        return packable(_class_of(member), member.get_state())
    if isinstance(member, callback_classes("CSVLogger")):
        return _csv_rows(member)
    names = _names(member)
    return {name: _own(getattr(member, name)) for name in names if hasattr(member, name)} if names else None


def _names(member: Any) -> _Names:
    return next((names for name, names in _KNOWN if isinstance(member, callback_classes(name))), ())


def _own(value: Any) -> Any:
    """Return a copy that does not change during the save: lists in Keras's callbacks grow."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def packable(name: str, state: Any) -> Any:
    """Return ``state`` if it can be saved; else warn, once for each callback, and return None."""
    try:
        TrainingBlock(state)
    except UnpackableError as error:
        warnings.warn(
            f"The state of the callback {name} is not saved, because {error}. "
            "Let get_state() return plain values and NumPy arrays.",
            stacklevel=2,
        )
        return None
    return state


def _set_state(member: Any, state: Any) -> None:
    if _has_own_state(member):
        member.set_state(state)
    elif not isinstance(state, dict):
        raise RestoreError(f"The saved state of the callback {_class_of(member)} is not a dictionary.")
    elif isinstance(member, callback_classes("CSVLogger")):
        _put_back_csv(member, state)
    else:
        for name in _names(member):
            if name in state:
                setattr(member, name, state[name])


def _csv_rows(logger: Any) -> dict[str, Any] | None:
    """Return what a ``CSVLogger`` has written so far."""
    try:
        path = Path(logger.filename)
        if path.stat().st_size > _LONGEST_CSV:
            return None
        return {"text": path.read_bytes(), "keys": logger.keys and list(logger.keys)}
    except OSError:
        return None


def _put_back_csv(logger: Any, state: State) -> None:
    """Restore the rows that the file had, and append after them: no row is lost or repeated.

    Raises:
        RestoreError: The checkpoint does not contain them.
    """
    if not isinstance(state.get("text"), bytes) or not isinstance(state.get("keys"), list | None):
        raise RestoreError("The checkpoint does not contain the rows that the CSVLogger had written.")
    if logger.csv_file and not getattr(logger.csv_file, "closed", False):
        logger.csv_file.close()
    Path(logger.filename).write_bytes(state["text"])
    logger.csv_file = Path(logger.filename).open("a")  # noqa: SIM115 - the logger closes it when training ends
    logger.keys = state["keys"]
    logger.writer = None
    logger.append_header = not state["text"]
