"""The state of a Keras 3 model as the tree that ``load_weights`` reads from an Orbax directory."""

from collections.abc import Callable, Sequence
from typing import Any

from .adapter import ModelAdapter

KINDS = ("trainable_variables", "non_trainable_variables", "optimizer_variables")
"""The keys at the root of the tree."""


def state_tree(adapter: ModelAdapter, value_of: Callable[[Any], Any]) -> dict[str, Any]:
    """Return weights and optimizer state as nested dictionaries.

    The keys are the variables' paths, so no two paths may be the same.

    Args:
        adapter: The model.
        value_of: Returns the object that represents a variable in the tree.
    """
    return {kind: _nested(variables, value_of) for kind, variables in _by_kind(adapter).items()}


def variables_by_path(adapter: ModelAdapter) -> dict[str, Any]:
    """Return the variable of each array in the tree, by its path there."""
    return {f"{kind}/{v.path}": v for kind, variables in _by_kind(adapter).items() for v in variables}


def _by_kind(adapter: ModelAdapter) -> dict[str, Sequence[Any]]:
    model = adapter.model
    held = (model.trainable_variables, model.non_trainable_variables, adapter.optimizer_variables())
    return dict(zip(KINDS, held, strict=True))


def _nested(variables: Sequence[Any], value_of: Callable[[Any], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable in variables:
        *parents, leaf = variable.path.split("/")
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[leaf] = value_of(variable)
    return tree
