"""The state of a model besides its weights: how it is captured, checked and restored."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from .._bytes.training_block import Tensor, TrainingBlock
from .._errors import RestoreError
from .._keras import ModelAdapter, kind_of
from . import randomness

_MOST_NAMED = 3


def loop_state(
    adapter: ModelAdapter, unsaved: Sequence[Any], extra: Any, others: Sequence[bytes] = ()
) -> TrainingBlock:
    """Return the training state for a save in a loop of the user's own.

    Args:
        adapter: The model.
        unsaved: The variables that are not saved as weights or optimizer state.
        extra: The values that the user adds.
        others: What the other processes packed with :func:`own_loop_state`, in order of rank.

    Raises:
        UnpackableError: ``extra`` contains a value that a block cannot hold.
    """
    tree = {**state_of(adapter, unsaved), **_own_in_loop(extra)}
    return TrainingBlock({**tree, "processes": list(others)} if others else tree)


def own_loop_state(adapter: ModelAdapter, extra: Any) -> TrainingBlock:
    """Return the part of :func:`loop_state` that each process has of its own.

    On JAX, all processes share all variables. On PyTorch, each has its own copies, which an optimizer keeps alike.
    """
    own = [] if adapter.spans_processes() else adapter.variables_of_replica()
    replica = [_tensor(adapter, adapter.path_of(each), each) for each in own]
    return TrainingBlock({**_own_in_loop(extra), "replica": replica})


def _own_in_loop(extra: Any) -> dict[str, Any]:
    return {"randomness": randomness.capture(), "extra": extra}


def state_of(adapter: ModelAdapter, unsaved: Sequence[Any]) -> dict[str, Any]:
    """Return the unsaved variables and those of the metrics, which are copied when the block is filled.

    For a model with several optimizers or its own training step, also return what each optimizer was built for.
    """
    listed, unlisted = _told_apart(adapter, unsaved)
    return {
        "variables": [_tensor(adapter, adapter.path_of(each), each) for each in listed],
        "unlisted": [_tensor(adapter, path, each) for path, each in unlisted.items()],
        "optimizers": {path: np.array(places, np.int32) for path, places in adapter.targets().items()},
        "metrics": [_tensor(adapter, adapter.path_of(each), each) for each in adapter.metrics_variables()],
    }


def _told_apart(adapter: ModelAdapter, unsaved: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the variables that Keras lists, in its order, and the others, by the attributes that lead to them."""
    paths = {id(variable): path for path, variable in adapter.unlisted_variables().items()}
    listed = [variable for variable in unsaved if id(variable) not in paths]
    return listed, {paths[id(variable)]: variable for variable in unsaved if id(variable) in paths}


def _tensor(adapter: ModelAdapter, path: str, variable: Any) -> dict[str, Any]:
    value = Tensor(adapter.tensor_of(variable), tuple(variable.shape), adapter.dtype_of(variable))
    return {"path": path, "value": value}


def metrics_now(adapter: ModelAdapter) -> list[dict[str, Any]]:
    """Return the metrics' variables with copies of their current values."""
    return [_copy(adapter, adapter.path_of(each), each) for each in adapter.metrics_variables()]


def states_now(adapter: ModelAdapter) -> list[dict[str, Any]]:
    """Return the variables that layers keep between batches and Keras does not list, with copies of their values."""
    return [_copy(adapter, path, each) for path, each in adapter.reach().variables.items()]


def _copy(adapter: ModelAdapter, path: str, variable: Any) -> dict[str, Any]:
    return {"path": path, "value": np.array(adapter.to_numpy(variable))}


def put_back_metrics(adapter: ModelAdapter, saved: Sequence[Mapping[str, Any]]) -> None:
    """Restore the saved values of the metrics' variables.

    Raises:
        RestoreError: The variables are not those that were saved; nothing was overwritten.
    """
    variables = adapter.metrics_variables()
    _check_alike(adapter, variables, saved, "the checkpoint's metrics")
    _assign(variables, saved)


def put_back_replica(adapter: ModelAdapter, saved: Sequence[Mapping[str, Any]], source: str) -> None:
    """Restore the variables that this process alone has, if it was not the first, which saves its own with the model.

    Args:
        adapter: The model.
        saved: What :func:`own_loop_state` holds of them; nothing in the first process.
        source: What contains them, in words.

    Raises:
        RestoreError: The variables are not those that were saved; nothing was overwritten.
    """
    if saved:
        variables = adapter.variables_of_replica()
        _check_alike(adapter, variables, saved, source)
        _assign(variables, saved)


def checked(adapter: ModelAdapter, unsaved: Sequence[Any], state: Mapping[str, Any], source: str) -> Callable[[], None]:
    """Check that variables are those that were saved, and return a function that assigns the saved values.

    Names that Keras generated do not count: only the order, the shapes and the kinds of types.

    Args:
        adapter: The model.
        unsaved: Its variables that the format does not store.
        state: The saved training state.
        source: What contains the state, in words.

    Raises:
        RestoreError: The variables are not those that were saved.
    """
    listed, unlisted = _told_apart(adapter, unsaved)
    _check_alike(adapter, listed, state["variables"], source)
    saved = {entry["path"]: entry for entry in state.get("unlisted", ())}
    found = [path for path in unlisted if path in saved]
    _check_alike(adapter, [unlisted[path] for path in found], [saved[path] for path in found], source, by_path=True)
    apart = [*(path for path in saved if path not in unlisted), *(path for path in unlisted if path not in saved)]
    if apart:
        names = ", ".join(f"'{path}'" for path in apart[:_MOST_NAMED])
        warnings.warn(
            f"The state in {names} is not both in the model and in {source}, so it is not restored: training does "
            "not continue exactly. Create all variables when the model is built, as they were when it was saved.",
            stacklevel=5,
        )

    def assign() -> None:
        _assign(listed, state["variables"])
        _assign([unlisted[path] for path in found], [saved[path] for path in found])

    return assign


def _check_alike(
    adapter: ModelAdapter,
    variables: Sequence[Any],
    saved: Sequence[Mapping[str, Any]],
    source: str,
    *,
    by_path: bool = False,
) -> None:
    names = adapter.automatic_names()
    there = [_Shown(adapter.path_of(v), tuple(v.shape), adapter.dtype_of(v)) for v in variables]
    before = [_Shown(e["path"], tuple(e["value"].shape), e["value"].dtype.name) for e in saved]
    wrong = [
        f"{has or 'nothing'}, where there was {had or 'nothing'}"
        for has, had in zip_longest(there, before)
        if not (has and had and has.is_like(had) and (by_path or names.are_alike(has.name, had.name)))
    ]
    if wrong:
        more = f"; {len(wrong) - _MOST_NAMED} more differ" if len(wrong) > _MOST_NAMED else ""
        raise RestoreError(
            f"The model does not match {source}: besides its weights it has {'; '.join(wrong[:_MOST_NAMED])}{more} "
            "(name, shape and type). Build and compile the model as it was."
        )


class _Shown(NamedTuple):
    """The properties of a variable that are compared and shown."""

    path: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def is_like(self, other: "_Shown") -> bool:
        return self.shape == other.shape and kind_of(self.dtype) == kind_of(other.dtype)

    def __str__(self) -> str:
        return f"{self.name!r} {self.shape} {self.dtype}"


def _assign(variables: Iterable[Any], saved: Iterable[Mapping[str, Any]]) -> None:
    for variable, entry in zip(variables, saved, strict=True):
        variable.assign(entry["value"])
