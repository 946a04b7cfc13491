"""All that touches tf_keras 2's private names, each with a fallback for a version that has moved them.

Read from tf_keras 2.21. It answers what :class:`._frameworks.Framework` asks; what is inside ``fit`` is in
``_tf_keras_fit``.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from . import _frameworks
from ._frameworks import SavedState, hdf5_by_path, hdf5_by_walk
from ._policies.monitor import Mode

NAME = "tf_keras"
PASSING_GROUPS = ("metrics/",)
Callback: type = tf_keras.callbacks.Callback
_FALLS = ("error", "mse", "mae", "mape", "msle", "loss", "entropy", "hinge", "poisson", "divergence", "logcosh")


def version() -> str:
    """Return tf_keras's version."""
    return str(tf_keras.__version__)


def backend() -> str:
    """Return ``"tensorflow"``: there is no other."""
    return "tensorflow"


def is_interactive() -> bool:
    """Tell whether tf_keras prints rather than logs."""
    return bool(tf_keras.utils.is_interactive_logging_enabled())


def is_chief(model: Any) -> bool:
    """Tell whether this worker is the one whose checkpoints appear, of a ``tf.distribute`` strategy."""
    strategy = _strategy(model)
    return workers(model) == 1 or bool(strategy.extended.should_checkpoint)


def workers(model: Any) -> int:
    """Return how many processes train ``model`` in step."""
    resolver = getattr(_strategy(model), "cluster_resolver", None)
    jobs = resolver.cluster_spec().as_dict() if resolver is not None else {}
    return sum(len(jobs.get(job, ())) for job in ("chief", "worker")) or 1


def _strategy(model: Any) -> Any:
    return getattr(model, "distribute_strategy", None) or tf.distribute.get_strategy()


def is_variable(value: Any) -> bool:
    """Tell whether a value is a variable of TensorFlow."""
    return isinstance(value, tf.Variable)


def path_of(variable: Any) -> str:
    """Return a variable's name, which has those of its layers before it."""
    return str(variable.name).partition(":")[0]


def dtype_of(variable: Any) -> str:
    """Return the name of a variable's or tensor's type."""
    return str(tf.as_dtype(variable.dtype).name)


def tensor_of(variable: Any) -> Any:
    """Return the variable itself: the copier reads it."""
    return variable


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """Return the value of a variable or tensor."""
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def optimizer_variables(model: Any) -> list[Any]:
    """Return the variables of the model's optimizer; none if it has none."""
    found = getattr(getattr(model, "optimizer", None), "variables", ())
    return list(found() if callable(found) else found)  # of legacy optimizers it is a method


def metrics_variables(model: Any) -> list[Any]:
    """Return the variables that the model's metrics accumulate in."""
    return [variable for metric in model.metrics for variable in metric.variables]


def metrics_are_built(model: Any) -> bool:
    """Tell whether the compiled metrics have their variables, which the first batch makes."""
    loss = getattr(model, "compiled_loss", None)
    return loss is None or bool(getattr(loss, "built", True))


def build_optimizer(model: Any) -> None:
    """Make the optimizer's variables, which the first batch would make."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not model.built:
        return
    with _strategy(model).scope():
        if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
            if not any(optimizer.get_slot_names()):  # slots are made once for all
                optimizer.iterations  # noqa: B018 - reading it makes it
                with contextlib.suppress(AttributeError):
                    optimizer._create_all_weights(model.trainable_variables)
        elif hasattr(optimizer, "build"):
            optimizer.build(model.trainable_variables)


def weights(model: Any) -> list[Any]:
    """Return the model's weights; none if it is not built."""
    return list(model.weights) if model.built else []


def state_variables(model: Any) -> list[Any]:
    """Return all variables that training changes, each once: weights, the optimizer's, states of generators."""
    return _frameworks.once([*weights(model), *optimizer_variables(model), *_rates(model), *_generator_states(model)])


def _rates(model: Any) -> list[Any]:
    """Return the variable that holds the learning rate: callbacks change it, and it is none of the optimizer's list."""
    optimizer = getattr(model, "optimizer", None)
    hypers = getattr(optimizer, "_hyper", None) or {}  # of legacy optimizers
    found = getattr(optimizer, "_learning_rate", None)
    return [each for each in (found, hypers.get("learning_rate")) if isinstance(each, tf.Variable)]


def planned_variables(model: Any) -> list[Any]:
    """Return the variables that decide on the layout of a file: those of metrics are in it too."""
    return [*state_variables(model), *metrics_variables(model)]


def _generator_states(model: Any) -> Iterator[Any]:
    """Yield the states of the generators that layers draw from, where they use generators: stock saves none."""
    for layer in _layers(model):
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        state = getattr(generator, "state", None)
        if isinstance(state, tf.Variable):
            yield state


def obstacles(model: Any) -> list[str]:
    """Return a sentence for each thing about ``model`` that keeps a restart from being exact."""
    found = []
    generators = [(each, getattr(each, "_random_generator", None)) for each in _layers(model)]
    hidden = [layer for layer, each in generators if getattr(each, "_rng_type", None) == "legacy_stateful"]
    if hidden:
        found.append(
            f"the layer '{hidden[0].name}' draws from the state of an operation, which cannot be saved. Call "
            "tf_keras.backend.experimental.enable_tf_random_generator() before the model is built."
        )
    if workers(model) > 1 or _strategy(model).num_replicas_in_sync > 1:
        found.append(
            "each replica has its own averages and its own share of the metrics, of which only their sums or means are "
            "saved. Weights and optimizer go on exactly where no layer has such averages."
        )
    return found


def _layers(model: Any) -> Iterator[Any]:
    flatten = getattr(model, "_flatten_layers", None)
    yield from flatten() if flatten is not None else model.submodules


def unsaved_variables(model: Any, *, optimizer: bool) -> list[Any]:
    """Return the variables that training changes, and stock saving leaves out.

    Args:
        model: The model.
        optimizer: Whether the format has a place for the optimizer's.
    """
    return list(_frameworks.unsaved(_frameworks.of(model), model, optimizer=optimizer))


def save_legacy_model(model: Any, file: h5py.File) -> None:
    """Write a whole model in the legacy HDF5 layout, with stock tf_keras."""
    model.save(file)


def save_weights(model: Any, file: h5py.File) -> None:
    """Write the layout of ``.weights.h5``, with stock tf_keras."""
    try:
        from tf_keras.src.saving import saving_lib
    except ImportError:
        hdf5_by_path(model.save_weights, file, name="m.weights.h5")
    else:
        hdf5_by_walk(saving_lib, model, file)


def save_legacy_weights(model: Any, file: h5py.File) -> None:
    """Write the weights in the legacy HDF5 layout, with stock tf_keras."""
    try:
        from tf_keras.src.saving.legacy.hdf5_format import save_weights_to_hdf5_group
    except ImportError:
        hdf5_by_path(model.save_weights, file)
    else:
        save_weights_to_hdf5_group(file, model)


def metric_directions(model: Any) -> dict[str, Mode]:
    """Return ``"min"`` for metrics that are errors by their name: tf_keras asks no metric for its direction."""
    return {metric.name: "min" for metric in model.metrics if any(word in metric.name for word in _FALLS)}


def log_names(model: Any) -> set[str] | None:
    """Return the names that training will log, without those of validation; None where that cannot be known.

    A model with its own ``train_step`` may log anything. Names that only other callbacks add are not known here.
    """
    own, stock = type(model), tf_keras.Model
    if any(getattr(own, hook) is not getattr(stock, hook) for hook in ("train_step", "compute_metrics")):
        return None
    known = {"loss", "learning_rate", "lr"}
    if metrics_are_built(model):
        return known | set(model.metrics_names)
    compiled = getattr(model, "compiled_metrics", None)
    if compiled is None or len(getattr(model, "output_names", None) or ()) > 1:
        return None
    given = [getattr(compiled, name, None) or [] for name in ("_user_metrics", "_user_weighted_metrics")]
    flat = [metric for metric in tf.nest.flatten(given) if metric is not None]
    return known | {each if isinstance(each, str) else getattr(each, "name", "") or each.__name__ for each in flat}


def saved_state(model: Any, *, assets: bool) -> SavedState | None:
    """Return what stock saving would write of ``model``; None where this tf_keras does not let that be seen.

    Runs tf_keras's own walk over the model, with stores that take notes instead of writing.

    Args:
        model: A built model.
        assets: Whether to look at its asset files, too.
    """
    try:
        from tf_keras.src.saving.saving_lib import _save_state
    except ImportError:
        return None
    notes = _Notes()
    with tempfile.TemporaryDirectory(prefix="lastgood-") as directory, _variables_are_handed_over():
        store = _frameworks.Assets(directory) if assets else None
        try:
            _save_state(model, weights_store=notes, assets_store=store, inner_path="", visited_trackables=set())
        except Exception:  # noqa: BLE001 - a layer asks the store for more than notes: stock saving knows, or says why not
            return None
        contents = store.contents() if store is not None else {}
    return SavedState(notes.groups, notes.arrays, contents)


class _Notes(_frameworks.Notes):
    keeps_empty_groups = True


@contextlib.contextmanager
def _variables_are_handed_over() -> Iterator[None]:
    """Let layers and optimizers give the stores their variables; they would turn each into an array."""
    layers: Any = _owner(tf_keras.layers.Layer)
    optimizers: Any = _owner(tf_keras.optimizers.Optimizer)
    before = layers.save_own_variables, optimizers.save_own_variables

    def of_layer(self: Any, store: Any) -> None:
        for i, variable in enumerate(self._trainable_weights + self._non_trainable_weights):
            store[str(i)] = variable

    def of_optimizer(self: Any, store: Any) -> None:
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable

    layers.save_own_variables, optimizers.save_own_variables = of_layer, of_optimizer
    try:
        yield
    finally:
        layers.save_own_variables, optimizers.save_own_variables = before


def _owner(cls: type) -> type:
    return next(base for base in cls.__mro__ if "save_own_variables" in vars(base))


def serialized(model: Any) -> tuple[bytes, bytes] | None:
    """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None where this tf_keras hides how."""
    try:
        from tf_keras.src.saving import saving_lib
        from tf_keras.src.saving.serialization_lib import ObjectSharingScope, serialize_keras_object
    except ImportError:
        return None
    import datetime
    import json

    enabled = saving_lib._SAVING_V3_ENABLED
    before = getattr(enabled, "value", False)
    enabled.value = True
    try:
        with ObjectSharingScope():
            config = json.dumps(serialize_keras_object(model))
    finally:
        enabled.value = before
    saved = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    return config.encode(), json.dumps({"keras_version": version(), "date_saved": saved}).encode()


def as_plain(logs: Any) -> Any:
    """Return logs of a batch hook as NumPy's or Python's values: a parameter server's are elsewhere."""
    try:
        from tf_keras.src.utils.tf_utils import sync_to_numpy_or_python_type
    except ImportError:
        return logs
    return sync_to_numpy_or_python_type(logs)


class CopiedCheckpoint:
    """A checkpoint of TensorFlow that is written from copies of a model's variables, which stay for the next save."""

    def __init__(self, model: Any) -> None:
        """Find what has to be copied.

        Raises:
            NotImplementedError: This TensorFlow, a distributed model, or something that it holds, knows no copies.
        """
        try:
            from tensorflow.python.checkpoint.async_checkpoint_helper import _get_all_trackables
            from tensorflow.python.util.object_identity import ObjectIdentityDictionary, ObjectIdentitySet
        except ImportError as error:
            raise NotImplementedError from error
        if _strategy(model).num_replicas_in_sync > 1:
            raise NotImplementedError
        self._checkpoint = tf.train.Checkpoint(root=model)
        aside = ObjectIdentitySet([self._checkpoint, self._checkpoint.save_counter])
        self._originals, _ = _get_all_trackables(root=self._checkpoint, exclude_set=aside)
        self._originals += _frameworks.once(optimizer_variables(model))
        self._copies = ObjectIdentityDictionary()
        self._variables = planned_variables(model)
        if not hasattr(self._checkpoint, "_saver") or not hasattr(self._checkpoint._saver, "_object_map"):
            raise NotImplementedError
        self._checkpoint._saver._object_map = self._copies

    def is_of(self, model: Any) -> bool:
        """Tell whether the model still has the variables that were found."""
        return _frameworks.are_the_same(planned_variables(model), self._variables)

    def take(self) -> None:
        """Copy all as it is now.

        Raises:
            NotImplementedError: Something cannot be copied.
        """
        for original in self._originals:
            original._copy_trackable_to_cpu(object_map=self._copies)

    def write(self, path: Path, options: Any) -> None:
        """Write the copies."""
        self._checkpoint.write(str(path), options=options)


def write_checkpoint(model: Any, path: Path, options: Any) -> None:
    """Write a checkpoint of TensorFlow as ``model.save_weights`` does; it does not become the latest."""
    tf.train.Checkpoint(root=model).write(str(path), options=options)


def merge_checkpoints(directory: Path, name: str, others: Sequence[str], path: Path) -> None:
    """Make one checkpoint, at ``path``, of the one that is ``name`` in ``directory`` and of others of one tensor each.

    Args:
        directory: Where it is, and where the others are made.
        name: Its name there.
        others: The names of those tensors; each is a part of the result, behind that of the first.
        path: Where the result goes.
    """
    prefixes = [str(directory / name), *(str(directory / f"part-{i}") for i in range(len(others)))]
    for prefix, other in zip(prefixes[1:], others, strict=True):
        tensor = tf.constant(1)
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=[other], shape_and_slices=[""], tensors=[tensor])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(path), delete_old_dirs=False)


def note_latest(path: Path) -> None:
    """Have ``tf.train.latest_checkpoint`` of its directory return the checkpoint at ``path``."""
    try:
        update = tf.__internal__.train.update_checkpoint_state  # what tf_keras calls; the public one warns
    except AttributeError:
        update = tf.compat.v1.train.update_checkpoint_state
    update(save_dir=str(path.parent), model_checkpoint_path=path.name, all_model_checkpoint_paths=[path.name])
