"""Models of tf_keras 2.

Every private name of tf_keras that saving needs is used here, with a fallback for versions that have moved it. The
names are those of tf_keras 2.21. The internals of ``fit`` are in ``tf_keras2_fit``, TensorFlow's own checkpoints in
``tf_checkpoints``.
"""

import contextlib
import datetime
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from .._policies.monitor import Mode
from .adapter import ModelAdapter, SavedState
from .holdings import once
from .reach import Kinds
from .stores import AssetStore, RecordingStore, VariablesOf, hdf5_by_path, hdf5_by_walk, recorded

_FALLS = ("error", "mse", "mae", "mape", "msle", "loss", "entropy", "hinge", "poisson", "divergence", "logcosh")
_PLAIN_LOADS = {each.load_own_variables for each in (tf_keras.layers.Layer, tf_keras.optimizers.Optimizer)}


class TFKeras2Model(ModelAdapter):
    """A model of tf_keras 2."""

    generation = "tf_keras"
    epoch_groups = ("metrics/",)

    @staticmethod
    def version() -> str:
        """Return tf_keras's version."""
        return str(tf_keras.__version__)

    @staticmethod
    def backend() -> str:
        """Return ``"tensorflow"``, the only backend."""
        return "tensorflow"

    @staticmethod
    def is_interactive() -> bool:
        """Return True if tf_keras prints its messages, False if it logs them."""
        return bool(tf_keras.utils.is_interactive_logging_enabled())

    @staticmethod
    def is_variable(value: Any) -> bool:
        """Return True if ``value`` is a variable of TensorFlow."""
        return isinstance(value, tf.Variable)

    @staticmethod
    def path_of(variable: Any) -> str:
        """Return a variable's name, which contains the names of its layers."""
        return str(variable.name).partition(":")[0]

    @staticmethod
    def dtype_of(variable: Any) -> str:
        """Return the dtype of a variable or tensor, under TensorFlow's name for it."""
        return str(tf.as_dtype(variable.dtype).name)

    @staticmethod
    def tensor_of(variable: Any) -> Any:
        """Return the variable itself, which the copier reads."""
        return variable

    @staticmethod
    def to_numpy(value: Any) -> npt.NDArray[Any]:
        """Return the value of a variable or tensor; the array may share the backend's memory."""
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)

    def weights(self) -> list[Any]:
        """Return the model's weights; none if it is not built."""
        return list(self.model.weights) if self.model.built else []

    def metrics_variables(self) -> list[Any]:
        """Return the variables in which the metrics accumulate."""
        return [variable for metric in self.model.metrics for variable in metric.variables]

    def metrics_are_built(self) -> bool:
        """Return True if the compiled metrics have their variables, which the first batch creates."""
        loss = getattr(self.model, "compiled_loss", None)
        return loss is None or bool(getattr(loss, "built", True))

    def has_own_step(self) -> bool:
        """Return True if the model's class overrides ``train_step``."""
        return type(self.model).train_step is not tf_keras.Model.train_step

    def targets_of(self, optimizer: Any) -> list[Any] | None:
        """Return the variables that an optimizer was built for: an empty list if it is not built, None if unknown."""
        if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
            return None if any(optimizer.get_slot_names()) else []  # slots are created all at once
        places = getattr(optimizer, "_index_dict", None)
        if not places:
            return []
        found = {places.get(optimizer._var_key(variable)): variable for variable in self._updatable()}
        return [found[i] for i in range(len(places))] if found.keys() >= set(range(len(places))) else None

    def build_for(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Create the optimizer's variables, which the first batch would create."""
        with self.strategy().scope():
            if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
                optimizer.iterations  # noqa: B018 - reading it creates it
                with contextlib.suppress(AttributeError):
                    optimizer._create_all_weights(list(variables))
            elif hasattr(optimizer, "build"):
                optimizer.build(list(variables))

    def listed_variables(self) -> list[Any]:
        """Return the variables that tf_keras lists: weights, the optimizer's, states of generators."""
        generators = _generator_states(self.model)
        return once([*self.weights(), *self.optimizer_variables(), *_learning_rates(self.model), *generators])

    def planned_variables(self) -> list[Any]:
        """Return the variables that determine the layout of a file, which contains those of metrics too."""
        return [*self.state_variables(), *self.metrics_variables()]

    @staticmethod
    def kinds() -> Kinds:
        """Return how to tell what the objects in a model are."""
        return _KINDS

    def unsaved_variables(self, *, optimizer: bool) -> list[Any]:
        """Return the variables that training changes and stock saving leaves out.

        Args:
            optimizer: Whether the format can store the optimizer's state.
        """
        state = self.saved_state(assets=False) if self.model.built and optimizer else None
        return self.left_out(optimizer=optimizer) if state is None else state.lacks(self.state_variables())

    def saved_state(self, *, assets: bool) -> SavedState | None:
        """Return what stock tf_keras would save for a built model; None if tf_keras does not expose it.

        Args:
            assets: Whether to include the asset files.
        """
        try:
            from tf_keras.src.saving.saving_lib import _save_state
        except ImportError:
            return None
        store = RecordingStore(keeps_empty_groups=True)
        # Layers and optimizers would turn each variable into a new array.
        variables_of: VariablesOf = {
            tf_keras.layers.Layer: _own_weights,
            tf_keras.optimizers.Optimizer: operator.attrgetter("variables"),
        }
        return recorded(_save_state, self.model, store, AssetStore if assets else None, variables_of, _PLAIN_LOADS)

    def serialized(self) -> tuple[bytes, bytes] | None:
        """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None if tf_keras hides them."""
        try:
            from tf_keras.src.saving.serialization_lib import ObjectSharingScope, serialize_keras_object
        except ImportError:
            return None
        with saving_as_archive(), ObjectSharingScope():
            config = json.dumps(serialize_keras_object(self.model))
        saved = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        return config.encode(), json.dumps({"keras_version": self.version(), "date_saved": saved}).encode()

    def save_weights(self, file: h5py.File) -> None:
        """Write the layout of ``.weights.h5`` to an open file, with stock tf_keras."""
        try:
            from tf_keras.src.saving.saving_lib import H5IOStore, _save_state
        except ImportError:
            hdf5_by_path(self.model.save_weights, file, name="m.weights.h5")
        else:
            hdf5_by_walk(_save_state, self.model, H5IOStore, file)

    def save_legacy_model(self, file: h5py.File) -> None:
        """Write the whole model in the legacy HDF5 layout to an open file, with stock tf_keras."""
        self.model.save(file)

    def save_legacy_weights(self, file: h5py.File) -> None:
        """Write the weights in the legacy HDF5 layout to an open file, with stock tf_keras."""
        try:
            from tf_keras.src.saving.legacy.hdf5_format import save_weights_to_hdf5_group
        except ImportError:
            hdf5_by_path(self.model.save_weights, file)
        else:
            save_weights_to_hdf5_group(file, self.model)

    def strategy(self) -> Any:
        """Return the ``tf.distribute`` strategy that the model is trained with."""
        return getattr(self.model, "distribute_strategy", None) or tf.distribute.get_strategy()

    def is_chief(self) -> bool:
        """Return True if this is the worker of the strategy whose checkpoints become visible."""
        return self.workers() == 1 or bool(self.strategy().extended.should_checkpoint)

    def workers(self) -> int:
        """Return the number of processes that train this model synchronously."""
        resolver = getattr(self.strategy(), "cluster_resolver", None)
        jobs = resolver.cluster_spec().as_dict() if resolver is not None else {}
        return sum(len(jobs.get(job, ())) for job in ("chief", "worker")) or 1

    def obstacles(self) -> list[str]:
        """Return a sentence for each property of the model that prevents an exact restart."""
        found = []
        generators = [(each, getattr(each, "_random_generator", None)) for each in _layers(self.model)]
        hidden = [layer for layer, each in generators if getattr(each, "_rng_type", None) == "legacy_stateful"]
        if hidden:
            found.append(
                f"the layer '{hidden[0].name}' draws random numbers from an operation whose state cannot be saved. "
                "Call tf_keras.backend.experimental.enable_tf_random_generator() before you build the model."
            )
        if self.workers() > 1 or self.strategy().num_replicas_in_sync > 1:
            found.append(
                "each replica has its own moving averages and its own share of the metrics, but only their sums or "
                "means are saved. Weights and optimizer continue exactly if no layer has moving averages."
            )
        return found

    def metric_directions(self) -> dict[str, Mode]:
        """Return ``"min"`` for metrics whose name says that they are errors: tf_keras metrics have no direction."""
        names = (metric.name for metric in self.model.metrics)
        return {name: "min" for name in names if any(word in name for word in _FALLS)}

    def log_names(self) -> set[str] | None:
        """Return the names that training will log, without those of validation; None if that is unknown.

        A model with its own ``train_step`` may log anything. Names that other callbacks add are not known here.
        """
        model, own, stock = self.model, type(self.model), tf_keras.Model
        if any(getattr(own, hook) is not getattr(stock, hook) for hook in ("train_step", "compute_metrics")):
            return None
        known = {"loss", "learning_rate", "lr"}
        if self.metrics_are_built():
            return known | set(model.metrics_names)
        compiled = getattr(model, "compiled_metrics", None)
        if compiled is None or len(getattr(model, "output_names", None) or ()) > 1:
            return None
        given = [getattr(compiled, name, None) or [] for name in ("_user_metrics", "_user_weighted_metrics")]
        flat = [metric for metric in tf.nest.flatten(given) if metric is not None]
        return known | {each if isinstance(each, str) else getattr(each, "name", "") or each.__name__ for each in flat}

    @staticmethod
    def plain_logs(logs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the logs with NumPy or Python values: with a parameter server, they are in another process."""
        try:
            from tf_keras.src.utils.tf_utils import sync_to_numpy_or_python_type
        except ImportError:
            return logs
        plain: Mapping[str, Any] = sync_to_numpy_or_python_type(logs)
        return plain


@contextlib.contextmanager
def saving_as_archive() -> Iterator[None]:
    """Make tf_keras read and write configurations as in ``.keras`` archives, in this thread, until the block ends."""
    from tf_keras.src.saving import saving_lib

    enabled = saving_lib._SAVING_V3_ENABLED
    before = getattr(enabled, "value", False)
    enabled.value = True
    try:
        yield
    finally:
        enabled.value = before


def _leaf(attribute: Any, holder: Any, key: Any, each: Any) -> Any:
    """Return a TensorFlow variable, as tf_keras's are too; None for any other, or one of strings or resources."""
    del attribute, holder, key
    return (
        each if isinstance(each, tf.Variable) and each.dtype.is_numpy_compatible and each.dtype != tf.string else None
    )


# Counters of the model itself, one of which is an argument of `compile`; the losses and metrics passed to `compile`,
# whose variables belong to the metrics; lists of objects that layers hold anyway.
_SKIPPED = {
    "_nodes_by_depth",
    "_predict_counter",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_dependency_names",
    "_steps_per_execution",
    "_test_counter",
    "_train_counter",
    "compiled_loss",
    "compiled_metrics",
}
# Of the attributes that every layer has, these lead to variables.
_LEADING = {"_metrics", "_non_trainable_weights", "_self_tracked_trackables", "_trainable_weights"}
_KINDS = Kinds(
    (tf.Module, tf.random.Generator),
    (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer),
    frozenset(_SKIPPED | vars(tf_keras.layers.Layer(name="usual")).keys() - _LEADING),
    _leaf,
)


def _own_weights(layer: Any) -> list[Any]:
    """Return a layer's weights in the order in which it saves them, without those of its sublayers."""
    return [*layer._trainable_weights, *layer._non_trainable_weights]


def _learning_rates(model: Any) -> list[Any]:
    """Return the variable of the learning rate: callbacks change it, and the optimizer does not list it."""
    optimizer = getattr(model, "optimizer", None)
    hypers = getattr(optimizer, "_hyper", None) or {}  # of a legacy optimizer
    found = getattr(optimizer, "_learning_rate", None)
    return [each for each in (found, hypers.get("learning_rate")) if isinstance(each, tf.Variable)]


def _generator_states(model: Any) -> Iterator[Any]:
    """Yield the states of the random generators that layers use: stock saving omits them."""
    for layer in _layers(model):
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        state = getattr(generator, "state", None)
        if isinstance(state, tf.Variable):
            yield state


def _layers(model: Any) -> Iterator[Any]:
    flatten = getattr(model, "_flatten_layers", None)
    yield from flatten() if flatten is not None else model.submodules
