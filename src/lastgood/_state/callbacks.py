"""What the callbacks of a ``fit`` know: taken with each save, put back when training goes on from it.

A callback of the user's joins by two methods: ``get_state()``, which returns plain values and arrays, and
``set_state(state)``. For those of Keras, the attributes that change while training runs are listed here.
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
# Those that count an epoch's end: it is given to them once more if they come behind the callback that saved.
_COUNTING = ("EarlyStopping", "ReduceLROnPlateau", "SwapEMAWeights", "History", "CSVLogger")
# Names that classes had in older versions.
_RENAMED = {"lastgood._model_checkpoint.ModelCheckpoint": "lastgood.ModelCheckpoint"}
_LONGEST_CSV = 64 * 1024 * 1024

State = Mapping[str, Any]


def take(members: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the states of all callbacks, in their order; one that has none is named all the same."""
    return [{"class": _class_of(member), "state": _state_of(member)} for member in members]


def put_back(members: Sequence[Any], saved: Sequence[State]) -> None:
    """Give each callback the state that its like had: the first of a class that of the first, and so on."""
    for member, entry in _pairs(members, saved):
        if entry["state"] is not None:
            _set_state(member, entry["state"])


def after_saver(members: Sequence[Any], saved: Sequence[State], saver: int) -> list[Any]:
    """Return the callbacks that had not yet seen the hook at which the one at place ``saver`` saved."""
    late = {id(entry) for entry in saved[saver + 1 :]}
    return [member for member, entry in _pairs(members, saved) if id(entry) in late]


def may_load(members: Sequence[Any]) -> bool:
    """Return True if one of the callbacks may load a model when training begins; of Keras's own, one alone does."""
    return any(
        isinstance(member, callback_classes("BackupAndRestore"))
        or type(member).__module__.partition(".")[0] not in ("keras", "tf_keras", "lastgood")
        for member in members
    )


def counts(member: Any) -> bool:
    """Tell whether a callback keeps a state that an epoch's end, or a batch's, changes."""
    return _has_own_state(member) or any(isinstance(member, callback_classes(name)) for name in _COUNTING)


def _name_saved(entry: State) -> str:
    """Return the class that a saved state is of, by the name that it has now."""
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
    """Return the classes of callbacks that have a saved state and are no longer there."""
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
    """Return a value that does not change under the save: lists of Keras's callbacks grow."""
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
        raise RestoreError(f"The checkpoint holds no state of a {_class_of(member)}, where it should.")
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
    """Have the file hold the rows that it had, and go on behind them: none is lost, none comes twice.

    Raises:
        RestoreError: The checkpoint does not say which.
    """
    if not isinstance(state.get("text"), bytes) or not isinstance(state.get("keys"), list | None):
        raise RestoreError("The checkpoint does not hold the rows that the CSVLogger had written, where it should.")
    if logger.csv_file and not getattr(logger.csv_file, "closed", False):
        logger.csv_file.close()
    Path(logger.filename).write_bytes(state["text"])
    logger.csv_file = Path(logger.filename).open("a")  # noqa: SIM115 - it closes it when training ends
    logger.keys = state["keys"]
    logger.writer = None
    logger.append_header = not state["text"]
