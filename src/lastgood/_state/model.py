"""What a checkpoint holds of the model besides its weights, and how it is put back."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from .._bytes.training_block import Tensor, TrainingBlock
from .._errors import RestoreError
from .._keras import ModelAdapter
from . import randomness


def loop_state(adapter: ModelAdapter, unsaved: Sequence[Any], extra: Any) -> TrainingBlock:
    """Return what a save in your own training loop holds besides the weights.

    Args:
        adapter: The model.
        unsaved: The variables that are not saved as weights or optimizer state.
        extra: What the user adds.

    Raises:
        UnpackableError: ``extra`` holds something that a block cannot.
    """
    return TrainingBlock({**state_of(adapter, unsaved), "randomness": randomness.capture(), "extra": extra})


def state_of(adapter: ModelAdapter, unsaved: Sequence[Any]) -> dict[str, Any]:
    """Return the unsaved variables and those of the metrics, to be copied when the block is filled."""
    return {
        "variables": _tensors(adapter, unsaved),
        "metrics": _tensors(adapter, adapter.metrics_variables()),
    }


def _tensors(adapter: ModelAdapter, variables: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "path": adapter.path_of(each),
            "value": Tensor(adapter.tensor_of(each), tuple(each.shape), adapter.dtype_of(each)),
        }
        for each in variables
    ]


def metrics_now(adapter: ModelAdapter) -> list[dict[str, Any]]:
    """Return the metrics' variables with copies of the values that they have now."""
    return [
        {"path": adapter.path_of(each), "value": adapter.to_numpy(each) * 1} for each in adapter.metrics_variables()
    ]


def put_back(adapter: ModelAdapter, variables: Sequence[Any], saved: Sequence[Mapping[str, Any]], source: str) -> None:
    """Give variables the values that were saved of them.

    Raises:
        RestoreError: They are not the same ones; nothing was overwritten.
    """
    check_alike(adapter, variables, saved, source)
    assign(variables, saved)


def check_alike(
    adapter: ModelAdapter, variables: Sequence[Any], saved: Sequence[Mapping[str, Any]], source: str
) -> None:
    """Check that variables have the names and shapes of those that were saved.

    Args:
        adapter: The model.
        variables: Its variables.
        saved: What was saved of them.
        source: What holds it, in words.

    Raises:
        RestoreError: They have not.
    """
    there = [(adapter.path_of(v).rpartition("/")[2], tuple(v.shape)) for v in variables]
    wanted = [(entry["path"].rpartition("/")[2], tuple(entry["value"].shape)) for entry in saved]
    if there != wanted:
        has, had = next((a, b) for a, b in zip_longest(there, wanted) if a != b)
        raise RestoreError(
            f"The model is not the one of {source}: beside its weights it has {has or 'nothing'}, where there was "
            f"{had or 'nothing'} (name and shape). Build and compile the model as it was."
        )


def assign(variables: Sequence[Any], saved: Sequence[Mapping[str, Any]]) -> None:
    """Give variables the values that were saved of them, which were checked."""
    for variable, entry in zip(variables, saved, strict=True):
        variable.assign(entry["value"])
