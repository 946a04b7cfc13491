"""Models of Keras 3.

Every private name of Keras that saving needs is used here or in ``keras3_metrics``, with a fallback for versions that
have moved it. The names are those of Keras 3.15.1.
"""

import contextlib
import importlib.util
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt

from .._policies.monitor import Mode
from .._snapshot.parts import own_parts
from . import keras3_kinds, keras3_metrics
from .adapter import SavedState
from .holdings import once
from .keras3_imports import without_tensorflow
from .keras3_variables import Keras3Variables
from .processes import is_split, span_processes, undistributed
from .reach import Kinds
from .releases import NEWEST, release
from .stores import AssetStore, RecordingStore, hdf5_by_path, hdf5_by_walk, recorded

_LAYERS = ("Conv1D", "Dense", "Embedding", "EinsumDense", "Layer")
_PLAIN_LOADS = {getattr(keras.layers, name).load_own_variables for name in _LAYERS}
_PLAIN_LOADS |= {keras.optimizers.Optimizer.load_own_variables}


class Keras3Model(Keras3Variables):
    """A model of Keras 3."""

    generation = "keras"

    @staticmethod
    def version() -> str:
        """Return Keras's version."""
        return str(keras.version())

    @staticmethod
    def backend() -> str:
        """Return Keras's backend."""
        return str(keras.backend.backend())

    @staticmethod
    def is_interactive() -> bool:
        """Return True if Keras prints its messages, False if it logs them."""
        return bool(keras.config.is_interactive_logging_enabled())

    @staticmethod
    def reads_orbax() -> bool:
        """Return True if this Keras's ``load_weights`` takes an Orbax directory; older versions do not."""
        return importlib.util.find_spec("keras.src.saving.orbax_util") is not None

    def weights(self) -> list[Any]:
        """Return the model's weights; none if it is not built."""
        return list(self.model.weights)

    def metrics_variables(self) -> list[Any]:
        """Return the variables in which the metrics accumulate.

        On JAX, they have no values after an exception in a step. They are then reset, as Keras does for each epoch.
        """
        variables = list(self.model.metrics_variables)
        if any(getattr(v, "_value", v) is None and getattr(v, "_initializer", None) is None for v in variables):
            self.model.reset_metrics()
        return variables

    def metrics_are_built(self) -> bool:
        """Return True if the compiled metrics have their variables, which the first batch creates."""
        compiled = getattr(self.model, "_compile_metrics", None)
        return compiled is None or bool(getattr(compiled, "built", True))

    def has_own_step(self) -> bool:
        """Return True if the model's class computes a training step by itself."""
        return getattr(type(self.model), "train_step", None) is not getattr(keras.Model, "train_step", None)

    def targets_of(self, optimizer: Any) -> list[Any] | None:
        """Return the variables that an optimizer was built for: an empty list if it is not built, None if unknown."""
        if not optimizer.built:
            return []
        found = getattr(optimizer, "_trainable_variables", None)
        if not found:  # a wrapper has no list of its own
            found = getattr(getattr(optimizer, "inner_optimizer", None), "_trainable_variables", None)
        return list(found) if found else None

    def build_for(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Create the variables of an optimizer, which the TensorFlow backend would create only with the first batch."""
        strategy = getattr(self.model, "distribute_strategy", None)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            optimizer.build(list(variables))

    def listed_variables(self) -> list[Any]:
        """Return the variables that Keras lists: weights, seeds of random layers, the optimizer's."""
        return once([*self.model.variables, *self.optimizer_variables()])

    @staticmethod
    def kinds() -> Kinds:
        """Return how to tell what the objects in a model are."""
        return keras3_kinds.KINDS

    def unsaved_variables(self, *, optimizer: bool) -> list[Any]:
        """Return the variables that training changes and stock saving leaves out.

        Args:
            optimizer: Whether the format can store the optimizer's state.
        """
        state = self.saved_state(assets=False) if self.model.built and optimizer else None
        return self.left_out(optimizer=optimizer) if state is None else state.lacks(self.state_variables())

    def saved_state(self, *, assets: bool) -> SavedState | None:
        """Return what stock Keras would save for a built model; None if this Keras does not expose it.

        Args:
            assets: Whether to include the asset files.
        """
        try:
            from keras.src.saving.saving_lib import DiskIOStore, H5IOStore, _save_state
        except ImportError:
            return None

        class Weights(RecordingStore, H5IOStore):  # type: ignore[misc] # Keras checks the types of the stores
            pass

        class Assets(AssetStore, DiskIOStore):  # type: ignore[misc]
            pass

        # Optimizers would turn each variable into a new array, which takes seconds.
        variables_of = {keras.optimizers.Optimizer: operator.attrgetter("variables")}
        with self.undistributed():
            return recorded(_save_state, self.model, Weights(), Assets if assets else None, variables_of, _PLAIN_LOADS)

    def serialized(self) -> tuple[bytes, bytes] | None:
        """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None if Keras does not expose them."""
        try:
            from keras.src.saving.saving_lib import _serialize_model_as_json
        except ImportError:
            return None
        with without_tensorflow():
            config, metadata = _serialize_model_as_json(self.model)
        return config.encode(), metadata.encode()

    def save_weights(self, file: h5py.File) -> None:
        """Write the layout of ``.weights.h5`` to an open file, with stock Keras."""
        try:
            from keras.src.saving.saving_lib import H5IOStore, _save_state
        except ImportError:
            hdf5_by_path(self.model.save_weights, file, name="m.weights.h5")
        else:
            hdf5_by_walk(_save_state, self.model, H5IOStore, file)

    def save_legacy_model(self, file: h5py.File) -> None:
        """Write the whole model in the legacy HDF5 layout to an open file, with stock Keras; leave the model unchanged.

        While it saves, Keras removes the optimizer from the model's own compile configuration, so that every ``.keras``
        file saved afterwards would lack it.
        """
        config = getattr(getattr(self.model, "_compile_config", None), "config", None)
        before = dict(config) if isinstance(config, dict) else None
        try:
            try:
                from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5
            except ImportError:
                hdf5_by_path(self.model.save, file)
            else:
                save_model_to_hdf5(self.model, file)
        finally:
            if config is not None and before is not None:
                config.clear()
                config.update(before)

    def save_legacy_weights(self, file: h5py.File) -> None:
        """Write the weights in the legacy HDF5 layout, which stock ``load_weights`` reads, to an open file.

        The public interface of Keras 3 reads this layout but writes it only as part of a whole model. If Keras's
        function for it cannot be found, this method writes the whole model, from which stock ``load_weights`` reads the
        weights.
        """
        try:
            from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
        except ImportError:
            self.save_legacy_model(file)
        else:
            save_weights_to_hdf5_group(file, self.model)

    def spans_processes(self) -> bool:
        """Return True if ``keras.distribution`` has placed the variables on devices of several processes."""
        placed = (weight for weight in self.weights() if not self.awaits_value(weight))
        return self.backend() == "jax" and span_processes(map(self.tensor_of, placed))

    def undistributed(self) -> contextlib.AbstractContextManager[None]:
        """Keep Keras from distributing variables over processes in the block, which only one process runs.

        To find out which attributes to save, Keras creates an optimizer, whose variables would wait for the others'.
        """
        return undistributed() if self.spans_processes() else contextlib.nullcontext()

    def values_here(self, variable: Any) -> list[npt.NDArray[Any]]:
        """Return the value of a variable or, if it is split over processes, the parts that this process has to save."""
        tensor = self.tensor_of(variable)
        return (
            [np.asarray(part.tensor) for part in own_parts(tensor)] if is_split(tensor) else [self.to_numpy(variable)]
        )

    def split_variables(self) -> list[Any]:
        """Return the variables that are split over several processes."""
        return [each for each in self.state_variables() if is_split(self.tensor_of(each))]

    def variables_of_replica(self) -> list[Any]:
        """Return the variables that each process of a DDP training on PyTorch changes by itself."""
        flatten = getattr(self.model, "_flatten_layers", None)
        layers = flatten() if flatten else self.model.layers
        frozen = {id(weight) for layer in layers if not layer.trainable for weight in layer.weights}
        changing = [each for each in self.model.non_trainable_variables if id(each) not in frozen]
        return once([*changing, *self.metrics_variables()])

    def obstacles(self) -> list[str]:
        """Return a sentence if Keras is too new, else nothing: all random generators keep their state in variables."""
        version, newest = self.version(), ".".join(map(str, NEWEST))
        if release(version) <= NEWEST:
            return []
        return [
            f"Keras {version} is newer than {newest}, the newest release tested for restarts, and may keep state that "
            "lastgood does not know. Check it with lastgood.verify_resume(), or upgrade lastgood."
        ]

    def metric_directions(self) -> dict[str, Mode]:
        """Return the mode of each compiled metric that specifies one, by its name in the logs."""
        return keras3_metrics.directions(self.model)

    def log_names(self) -> set[str] | None:
        """Return the names that training will log, without those of validation; None if that is unknown.

        A model with its own ``train_step`` may log anything. Names that other callbacks add are not known here.
        """
        return keras3_metrics.log_names(self.model)

    @staticmethod
    def plain_logs(logs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the logs as they are: Keras 3 passes numbers to the hooks."""
        return logs
