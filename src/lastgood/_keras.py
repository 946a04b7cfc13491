"""All that touches Keras 3's private names, each with a fallback for a version that has moved them.

Read from Keras 3.15.1. Everything else in this package uses Keras's public interface.
"""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt

from . import _frameworks
from ._frameworks import SavedState, hdf5_by_path, hdf5_by_walk
from ._policies.monitor import Mode

NAME = "keras"
PASSING_GROUPS: tuple[str, ...] = ()
Callback: type = keras.callbacks.Callback


def version() -> str:
    """Return Keras's version."""
    return str(keras.version())


def backend() -> str:
    """Return Keras's backend."""
    return str(keras.backend.backend())


def is_interactive() -> bool:
    """Tell whether Keras prints rather than logs."""
    return bool(keras.config.is_interactive_logging_enabled())


def is_chief(model: Any) -> bool:
    """Return True: Keras 3 has no word for it."""
    del model
    return True


def workers(model: Any) -> int:
    """Return 1: Keras 3 has no word for it."""
    del model
    return 1


def is_variable(value: Any) -> bool:
    """Tell whether a value is a variable of Keras."""
    return isinstance(value, keras.Variable)


def path_of(variable: Any) -> str:
    """Return a variable's path."""
    return str(variable.path)


def dtype_of(variable: Any) -> str:
    """Return the name of a variable's or tensor's type, as Keras has it."""
    return str(keras.backend.standardize_dtype(variable.dtype))


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """Return the value of a variable or tensor."""
    return np.asarray(keras.ops.convert_to_numpy(value))


def obstacles(model: Any) -> list[str]:
    """Return nothing: all generators of Keras 3 are variables."""
    del model
    return []


def weights(model: Any) -> list[Any]:
    """Return the model's weights; none if it is not built."""
    return list(model.weights)


def optimizer_variables(model: Any) -> list[Any]:
    """Return the variables of the model's optimizer; none if it has none."""
    return list(getattr(getattr(model, "optimizer", None), "variables", ()))


def metrics_variables(model: Any) -> list[Any]:
    """Return the variables that the model's metrics accumulate in."""
    return list(model.metrics_variables)


def metrics_are_built(model: Any) -> bool:
    """Tell whether the compiled metrics have their variables, which the first batch makes."""
    compiled = getattr(model, "_compile_metrics", None)
    return compiled is None or bool(getattr(compiled, "built", True))


def save_legacy_model(model: Any, file: h5py.File) -> None:
    """Write a whole model in the legacy HDF5 layout, with stock Keras, and leave the model as it was.

    Keras takes the optimizer out of the model's own compile configuration on the way, so that every ``.keras`` file
    saved afterwards would lack it.
    """
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    before = dict(config) if isinstance(config, dict) else None
    try:
        try:
            from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5
        except ImportError:
            hdf5_by_path(model.save, file)
        else:
            save_model_to_hdf5(model, file)
    finally:
        if config is not None and before is not None:
            config.clear()
            config.update(before)


def save_weights(model: Any, file: h5py.File) -> None:
    """Write the layout of ``.weights.h5``, with stock Keras."""
    try:
        from keras.src.saving import saving_lib
    except ImportError:
        hdf5_by_path(model.save_weights, file, name="m.weights.h5")
    else:
        hdf5_by_walk(saving_lib, model, file)


def save_legacy_weights(model: Any, file: h5py.File) -> None:
    """Write the weights of ``model`` in the legacy HDF5 layout, which stock ``load_weights`` reads.

    Public Keras 3 reads this layout but writes it only as part of a whole model. Where its writer is not to be found,
    the whole model is written: stock ``load_weights`` reads its weights from there.
    """
    try:
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
    except ImportError:
        save_legacy_model(model, file)
    else:
        save_weights_to_hdf5_group(file, model)


def build_optimizer(model: Any) -> None:
    """Make the optimizer's variables, which the TensorFlow backend makes only with the first batch."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or optimizer.built or not model.built:
        return
    strategy = getattr(model, "distribute_strategy", None)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        optimizer.build(model.trainable_variables)


def state_variables(model: Any) -> list[Any]:
    """Return all variables that training changes, each once: weights, seeds of random layers, the optimizer's."""
    return _frameworks.once([*model.variables, *optimizer_variables(model)])


def planned_variables(model: Any) -> list[Any]:
    """Return the variables that decide on the layout of a file."""
    return state_variables(model)


def unsaved_variables(model: Any, *, optimizer: bool) -> list[Any]:
    """Return the variables that training changes, and stock saving leaves out.

    Args:
        model: The model.
        optimizer: Whether the format has a place for the optimizer's.
    """
    state = saved_state(model, assets=False) if model.built and optimizer else None
    if state is not None:
        return _frameworks.variables_not_in(state, state_variables(model))
    return list(_frameworks.unsaved(_frameworks.of(model), model, optimizer=optimizer))


def reads_orbax() -> bool:
    """Tell whether this Keras's ``load_weights`` takes an Orbax directory; older ones do not."""
    return importlib.util.find_spec("keras.src.saving.orbax_util") is not None


def state_tree(model: Any) -> dict[str, Any]:
    """Return weights and optimizer as nested dictionaries of arrays, the tree that ``load_weights`` takes from Orbax.

    The variables' paths are its keys, so no two may be the same.
    """
    return {kind: _nested(variables) for kind, variables in _state(model).items()}


def state_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array in the tree of :func:`state_tree`, by its path there."""
    return {f"{kind}/{v.path}": tuple(v.shape) for kind, variables in _state(model).items() for v in variables}


def _state(model: Any) -> dict[str, Sequence[Any]]:
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": optimizer_variables(model),
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


def tensor_of(variable: Any) -> Any:
    """Return the backend's tensor of a variable.

    ``variable.value`` looks for scopes first that no save is in: for 10,000 variables that is a tenth of the snapshot.
    """
    held = getattr(variable, "_value", None)
    return variable.value if held is None else held


def saved_state(model: Any, *, assets: bool) -> SavedState | None:
    """Return what stock saving would write of ``model``; None where this Keras does not let that be seen.

    Runs Keras's own walk over the model, with stores that take notes instead of writing.

    Args:
        model: A built model.
        assets: Whether to look at its asset files, too.
    """
    try:
        from keras.src.saving.saving_lib import DiskIOStore, H5IOStore, _save_state
    except ImportError:
        return None

    class Notes(_frameworks.Notes, H5IOStore):  # type: ignore[misc] # Keras checks the type of the store
        pass

    class Assets(_frameworks.Assets, DiskIOStore):  # type: ignore[misc]
        pass

    notes = Notes()
    with tempfile.TemporaryDirectory(prefix="lastgood-") as directory, _optimizers_hand_over_variables():
        store = Assets(directory) if assets else None
        try:
            _save_state(model, weights_store=notes, assets_store=store, inner_path="", visited_saveables=set())
        except Exception:  # noqa: BLE001 - a layer asks the store for more than notes: stock saving knows, or says why not
            return None
        contents = store.contents() if store is not None else {}
    return SavedState(notes.groups, notes.arrays, contents)


@contextlib.contextmanager
def _optimizers_hand_over_variables() -> Iterator[None]:
    """Let optimizers give the stores their variables; they would turn each into a fresh array, which takes seconds."""
    owner: Any = next(c for c in keras.optimizers.Optimizer.__mro__ if "save_own_variables" in vars(c))
    stock = owner.save_own_variables

    def save_own_variables(self: Any, store: Any) -> None:
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable

    owner.save_own_variables = save_own_variables
    try:
        yield
    finally:
        owner.save_own_variables = stock


def serialized(model: Any) -> tuple[bytes, bytes] | None:
    """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None where this Keras hides how."""
    try:
        from keras.src.saving.saving_lib import _serialize_model_as_json
    except ImportError:
        return None
    config, metadata = _serialize_model_as_json(model)
    return config.encode(), metadata.encode()
