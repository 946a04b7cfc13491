"""The kinds of objects in a Keras 3 model on each backend: those that may hold variables, and variables."""

from typing import Any

import keras

from .reach import BackendVariable, Kinds

# Graphs of operations, a training step's state on JAX, indices of variables: other attributes lead to their contents.
# Also the losses and metrics passed to `compile`, whose variables belong to the metrics.
_SKIPPED = {
    "_compile_loss",
    "_compile_metrics",
    "_functional",
    "_jax_state",
    "_nodes",
    "_nodes_by_depth",
    "_operations",
    "_operations_by_depth",
    "_trainable_variables_indices",
}
# Of the attributes that every layer has, these lead to variables.
_LEADING = {"_buffers", "_layers", "_metrics", "_modules", "_non_trainable_variables", "_parameters"}
_LEADING |= {"_seed_generators", "_trainable_variables"}


def _is_of_keras(each: Any) -> Any:
    return each if isinstance(each, keras.Variable) else None


def _leaf(attribute: Any, holder: Any, key: Any, each: Any) -> Any:
    del attribute, holder, key
    return _is_of_keras(each)


def _kinds() -> Kinds:
    holders: tuple[type, ...] = (keras.layers.Layer, keras.metrics.Metric, keras.random.SeedGenerator)
    leaf = _leaf
    if keras.backend.backend() == "torch":
        import torch

        def assign_torch(tensor: Any, value: Any) -> None:
            with torch.no_grad():
                tensor.copy_(keras.ops.convert_to_tensor(value))

        def leaf(attribute: Any, holder: Any, key: Any, each: Any) -> Any:
            if isinstance(each, torch.Tensor) and attribute in ("_parameters", "_buffers"):
                return BackendVariable(holder, key, assign_torch)
            return _is_of_keras(each)

        holders += (torch.nn.Module,)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def assign_tensorflow(variable: Any, value: Any) -> None:
            variable.assign(value)

        def leaf(attribute: Any, holder: Any, key: Any, each: Any) -> Any:
            del attribute
            if isinstance(each, tf.Variable) and not isinstance(holder, tuple):
                holds_numbers = each.dtype.is_numpy_compatible and each.dtype != tf.string
                return BackendVariable(holder, key, assign_tensorflow) if holds_numbers else None
            return _is_of_keras(each)

        holders += (tf.Module, tf.random.Generator)
    usual = vars(keras.layers.Layer(name="usual")).keys()
    return Kinds(holders, (keras.optimizers.Optimizer,), frozenset(_SKIPPED | usual - _LEADING), leaf)


KINDS = _kinds()
