"""The interface to a model, the same for every generation of Keras.

``keras3`` and ``tf_keras2`` implement it, with one class each. Keras's private names stay behind it, each with a
fallback.
"""

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from .._policies.monitor import Mode
from .holdings import Holdings
from .onlookers import package_of

if TYPE_CHECKING:
    import h5py

Generation = Literal["keras", "tf_keras"]
"""A generation of Keras, by the name of its package."""

# The base of hook classes: `as_callback` and the public classes add the `Callback` class of the Keras in use.
Hooks: Any = object


@dataclass(frozen=True)
class SavedArray:
    """One array of a weights file, as stock saving would write it.

    Attributes:
        group: Path of its HDF5 group.
        key: Its name in the group.
        value: The variable that holds its value; an array or tensor if a layer computes what it saves.
    """

    group: str
    key: str
    value: Any


@dataclass(frozen=True)
class SavedState:
    """The content that stock Keras would save for a model.

    Attributes:
        groups: Attributes of each HDF5 group, by path.
        arrays: The arrays, in the order in which they are saved.
        assets: Contents of the asset files, by path below ``assets/``.
        loads_plainly: Whether stock loading only assigns the saved arrays to variables. A layer may do more:
            ``Normalization`` computes the values that it uses from the saved ones.
    """

    groups: Mapping[str, Mapping[str, str]]
    arrays: Sequence[SavedArray]
    assets: Mapping[str, bytes]
    loads_plainly: bool

    def lacks(self, variables: Iterable[Any]) -> list[Any]:
        """Return the variables whose values are not among the arrays."""
        saved = {id(array.value) for array in self.arrays}
        return [variable for variable in variables if id(variable) not in saved]


class ModelAdapter(Holdings):
    """A model, with the same interface for every generation of Keras.

    Attributes:
        model: The model.
        generation: The package that the model belongs to.
        epoch_groups: Prefixes of the groups in a weights file that belong to the current epoch and not to the model.
    """

    generation: ClassVar[Generation]
    epoch_groups: ClassVar[tuple[str, ...]] = ()

    # The package

    @staticmethod
    @abstractmethod
    def version() -> str:
        """Return the package's version."""

    @staticmethod
    @abstractmethod
    def backend() -> str:
        """Return the backend: ``jax``, ``torch`` or ``tensorflow``."""

    @staticmethod
    @abstractmethod
    def is_interactive() -> bool:
        """Return True if Keras prints its messages, False if it logs them."""

    # Variables and tensors

    @staticmethod
    @abstractmethod
    def is_variable(value: Any) -> bool:
        """Return True if ``value`` is a variable."""

    @staticmethod
    @abstractmethod
    def path_of(variable: Any) -> str:
        """Return the name of a variable, preceded by the names of the layers that contain it."""

    @staticmethod
    @abstractmethod
    def dtype_of(variable: Any) -> str:
        """Return the dtype in which a variable or tensor is stored and saved, such as ``"float32"``."""

    @staticmethod
    @abstractmethod
    def tensor_of(variable: Any) -> Any:
        """Return the object that the backend's copier reads for a variable."""

    @staticmethod
    def awaits_value(variable: Any) -> bool:
        """Return True if a variable of a model that is being created has no value yet; see :class:`ModelLoader`."""
        del variable
        return False

    @staticmethod
    def give_value(variable: Any, tensor: Any) -> None:
        """Set a variable that may await its value to a tensor of the backend."""
        variable.assign(tensor)

    # The model's variables

    @abstractmethod
    def metrics_are_built(self) -> bool:
        """Return True if the compiled metrics have their variables, which the first batch creates."""

    def planned_variables(self) -> list[Any]:
        """Return the variables that determine the layout of a file: all that training changes."""
        return self.state_variables()

    @abstractmethod
    def unsaved_variables(self, *, optimizer: bool) -> list[Any]:
        """Return the variables that training changes and stock saving leaves out.

        Args:
            optimizer: Whether the format can store the optimizer's state.
        """

    # Stock saving

    @abstractmethod
    def saved_state(self, *, assets: bool) -> SavedState | None:
        """Return what stock Keras would save for a built model; None if this Keras does not expose it.

        Args:
            assets: Whether to include the asset files.
        """

    @abstractmethod
    def serialized(self) -> tuple[bytes, bytes] | None:
        """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None if Keras does not expose them."""

    @abstractmethod
    def save_weights(self, file: "h5py.File") -> None:
        """Write the layout of ``.weights.h5`` to an open file."""

    @abstractmethod
    def save_legacy_model(self, file: "h5py.File") -> None:
        """Write the whole model in the legacy HDF5 layout to an open file."""

    @abstractmethod
    def save_legacy_weights(self, file: "h5py.File") -> None:
        """Write the weights in the legacy HDF5 layout to an open file."""

    # Training

    def is_chief(self) -> bool:
        """Return True if this is the worker of a TensorFlow strategy whose checkpoints become visible."""
        return True

    def workers(self) -> int:
        """Return the number of workers of the TensorFlow strategy; 1 without one."""
        return 1

    def spans_processes(self) -> bool:
        """Return True if several processes that lastgood can group compute each training step together."""
        return False

    def undistributed(self) -> AbstractContextManager[None]:
        """Keep Keras from distributing variables over processes in the block, which only one process runs."""
        return nullcontext()

    def values_here(self, variable: Any) -> list[npt.NDArray[Any]]:
        """Return the value of a variable or, if it is split over processes, the parts that this process has to save."""
        return [self.to_numpy(variable)]

    def split_variables(self) -> list[Any]:
        """Return the variables that are split over several processes."""
        return []

    def variables_of_replica(self) -> list[Any]:
        """Return the variables that each process of a data-parallel training changes by itself, without an optimizer.

        They are the statistics of normalization layers, the seeds of random layers and the metrics.
        """
        return []

    @abstractmethod
    def obstacles(self) -> list[str]:
        """Return a sentence for each property of the model that prevents an exact restart."""

    @abstractmethod
    def metric_directions(self) -> dict[str, Mode]:
        """Return the mode of each metric, ``"min"`` or ``"max"``, by its name in the logs, where it is known."""

    @abstractmethod
    def log_names(self) -> set[str] | None:
        """Return the names that training will log, without those of validation; None if that is unknown.

        A model with its own ``train_step`` may log anything. Names that other callbacks add are not known here.
        """

    @staticmethod
    @abstractmethod
    def plain_logs(logs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the logs of a hook, with all values in this process."""

    def own_save(self, *, weights_only: bool, **options: Any) -> Callable[[str], object] | None:
        """Return the model's own save method, which stock Keras would call; None if the method is Keras's.

        Args:
            weights_only: Whether to save only the weights.
            **options: The arguments that stock Keras would pass to it.
        """
        name = "save_weights" if weights_only else "save"
        if package_of(self.model, name) in ("keras", "tf_keras"):
            return None
        return partial(getattr(self.model, name), overwrite=True, **options)

    def state_bytes(self, *, optimizer: bool = True) -> int:
        """Return the bytes that a save holds: the weights and, if requested, the optimizer's state as far as built."""
        variables = self.state_variables() if optimizer else self.weights()
        return sum(math.prod(v.shape) * max(1, _bits(self.dtype_of(v)) // 8) for v in variables)

    def left_out(self, *, optimizer: bool) -> list[Any]:
        """Return the state variables that are neither weights nor, if ``optimizer`` is True, the optimizer's."""
        saved = [*self.weights(), *(self.optimizer_variables() if optimizer else ())]
        known = set(map(id, saved))
        return [variable for variable in self.state_variables() if id(variable) not in known]


def are_the_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return True if two lists hold the same variables in the same order."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def kind_of(dtype: str) -> str:
    """Return the kind of a dtype: stock loading converts between the dtypes of one kind."""
    return next((kind for kind in ("float", "complex", "int", "bool") if kind in dtype), dtype)


def _bits(dtype: str) -> int:
    digits = "".join(c for c in dtype.partition("_")[0] if c.isdigit())
    return int(digits) if digits else 8
