"""All that touches Keras 3's private names, each with a fallback for a version that has moved them.

Read from Keras 3.15.1. Everything else in this package uses Keras's public interface.
"""

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ._policies.monitor import Mode


def save_legacy_model(model: Any, path: Path) -> None:
    """Write a whole model in the legacy HDF5 layout, with stock Keras, and leave the model as it was.

    Keras takes the optimizer out of the model's own compile configuration on the way, so that every ``.keras`` file
    saved afterwards would lack it.
    """
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    before = dict(config) if isinstance(config, dict) else None
    try:
        model.save(path)
    finally:
        if config is not None and before is not None:
            config.clear()
            config.update(before)


def save_legacy_weights(model: Any, path: Path) -> None:
    """Write the weights of ``model`` in the legacy HDF5 layout, which stock ``load_weights`` reads.

    Public Keras 3 reads this layout but writes it only as part of a whole model. Where its writer is not to be found,
    the whole model is written: stock ``load_weights`` reads its weights from there.
    """
    try:
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
    except ImportError:
        save_legacy_model(model, path)
        return
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)


def reads_orbax() -> bool:
    """Tell whether this Keras's ``load_weights`` takes an Orbax directory; older ones do not."""
    return importlib.util.find_spec("keras.src.saving.orbax_util") is not None


def state_tree(model: Any) -> dict[str, Any]:
    """Return weights and optimizer as nested dictionaries of arrays, the tree that ``load_weights`` takes from Orbax.

    The variables' paths are its keys, so no two may be the same.
    """
    optimizer = getattr(model, "optimizer", None)
    return {
        "trainable_variables": _nested(model.trainable_variables),
        "non_trainable_variables": _nested(model.non_trainable_variables),
        "optimizer_variables": _nested(optimizer.variables if optimizer is not None else ()),
    }


def _nested(variables: Iterable[Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable in variables:
        *parents, leaf = variable.path.split("/")
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[leaf] = np.asarray(keras.ops.convert_to_numpy(variable))
    return tree


def metric_directions(model: Any) -> dict[str, Mode]:
    """Return the way in which each compiled metric improves, by its name in the logs, for those that know."""
    ways: Mapping[Any, Mode] = {"up": "max", "down": "min"}
    found = _compiled_metrics(model) or ()
    return {name: ways[way] for name, metric in found if (way := getattr(metric, "_direction", None)) in ways}


def log_names(model: Any) -> set[str] | None:
    """Return the names that training will log, without those of validation; None where that cannot be known.

    A model with its own ``train_step`` may log anything. Names that only other callbacks add are not known here.
    """
    own = type(model)
    hooks = ("train_step", "compute_metrics", "get_metrics_result", "compute_loss")
    if not getattr(model, "compiled", False) or any(getattr(own, h) is not getattr(keras.Model, h) for h in hooks):
        return None
    metrics = _compiled_metrics(model)
    if metrics is None:
        return None
    names = {name for name, _ in metrics}
    container = getattr(model, "_compile_metrics", None)
    names.update(metric.name for metric in model.metrics if metric is not container)
    # A loss of several outputs makes its trackers with the first batch, one an output.
    outputs = getattr(model, "output_names", None) or ()
    if len(outputs) > 1:
        names.update(f"{output}_loss" for output in outputs)
    return names | {"loss", "learning_rate", "lr"}


def _compiled_metrics(model: Any) -> list[tuple[str, Any]] | None:
    """Return what ``compile(metrics=...)`` gave, as (name in the logs, metric); None where Keras hides it."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return []
    if getattr(compiled, "built", False):
        try:
            lists = [*compiled._flat_metrics, *compiled._flat_weighted_metrics]
            return list(_named([entry for entry in lists if entry]))
        except AttributeError:
            return None
    # The TensorFlow backend builds them with the first batch. Before that, only one output's names are certain.
    if len(getattr(model, "output_names", None) or ()) > 1:
        return None
    given = [getattr(compiled, name, None) or [] for name in ("_user_metrics", "_user_weighted_metrics")]
    flat = [metric for group in given for metric in keras.tree.flatten(group)]
    return [(m if isinstance(m, str) else str(getattr(m, "name", getattr(m, "__name__", ""))), m) for m in flat]


def _named(lists: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Name metrics as the logs do: behind their output's name, a second one of a name with its number."""
    seen: dict[str, int] = {}
    for entry in lists:
        for metric in entry.metrics:
            name = f"{entry.output_name}_{metric.name}" if entry.output_name else metric.name
            count = seen.get(name, 0)
            seen[name] = count + 1
            yield (f"{name}_{count}" if count else name), metric


def dispatch_in_turn() -> bool:
    """Make Keras call batch hooks in the training thread; return False where that cannot be ensured.

    Keras decides on asynchronous hooks by looking into the list that ``fit`` got. A bare callback is in no list, and
    its batch-end hooks then run in a pool of threads, on a state that training is changing. This is called from
    ``on_train_begin``, so the ``CallbackList`` that holds the switch is the caller's ``self``.
    """
    frame = sys._getframe(1)
    for _ in range(8):
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            if not hasattr(caller, "_async_train"):
                return False
            caller._async_train = False
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return True  # called by hand, so in the thread of whoever calls
