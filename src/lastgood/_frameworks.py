"""Keras 3 and tf_keras 2: which of them a model is of, and what this package asks of either.

What each answers is in ``_keras`` and ``_tf_keras``; neither is imported before a model of it is there.
"""

import importlib
import io
import math
import operator
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from ._policies.monitor import Mode
from ._switch import wants_tf_keras

# What classes of hooks have as their base: :func:`as_callback` and the faces add the one of the framework in use.
Hooks: Any = object


@dataclass(frozen=True)
class SavedArray:
    """One array of a weights file, as stock saving would write it.

    Attributes:
        group: Path of its HDF5 group.
        key: Its name in the group.
        value: The variable that it is the value of; an array or tensor where a layer computes what it saves.
    """

    group: str
    key: str
    value: Any


@dataclass(frozen=True)
class SavedState:
    """What stock saving would write of a model.

    Attributes:
        groups: Attributes of each HDF5 group, by path.
        arrays: The arrays, in the order in which they are saved.
        assets: Contents of the asset files, by path below ``assets/``.
    """

    groups: Mapping[str, Mapping[str, str]]
    arrays: Sequence[SavedArray]
    assets: Mapping[str, bytes]


class Framework(Protocol):
    """A generation of Keras, as a module.

    Attributes:
        NAME: The package's name.
        Callback: The class that its callbacks have as their base.
        PASSING_GROUPS: What the paths of those groups of a weights file begin with that hold nothing of the model, only
            of the epoch that is going on.
    """

    NAME: str
    Callback: type
    PASSING_GROUPS: tuple[str, ...]

    def version(self) -> str:
        """Return the package's version."""
        ...

    def backend(self) -> str:
        """Return what computes: ``jax``, ``torch`` or ``tensorflow``."""
        ...

    def is_interactive(self) -> bool:
        """Tell whether what is said goes to the terminal rather than to the log."""
        ...

    def is_chief(self, model: Any) -> bool:
        """Tell whether this process is the one whose checkpoints appear, of all that train ``model``."""
        ...

    def workers(self, model: Any) -> int:
        """Return how many processes train ``model`` in step."""
        ...

    def obstacles(self, model: Any) -> list[str]:
        """Return a sentence for each thing about ``model`` that keeps a restart from being exact."""
        ...

    def is_variable(self, value: Any) -> bool:
        """Tell whether a value is a variable."""
        ...

    def path_of(self, variable: Any) -> str:
        """Return the name of a variable, with those of what it is in."""
        ...

    def dtype_of(self, variable: Any) -> str:
        """Return the name of a variable's or tensor's type, such as ``"float32"``."""
        ...

    def tensor_of(self, variable: Any) -> Any:
        """Return what the copier of the backend takes for a variable."""
        ...

    def to_numpy(self, value: Any) -> npt.NDArray[Any]:
        """Return the value of a variable or tensor, in memory of its own or of the backend."""
        ...

    def weights(self, model: Any) -> list[Any]:
        """Return the model's weights; none if it is not built."""
        ...

    def optimizer_variables(self, model: Any) -> list[Any]:
        """Return the variables of the model's optimizer; none if it has none."""
        ...

    def metrics_variables(self, model: Any) -> list[Any]:
        """Return the variables that the model's metrics accumulate in."""
        ...

    def metrics_are_built(self, model: Any) -> bool:
        """Tell whether the compiled metrics have their variables, which the first batch makes."""
        ...

    def build_optimizer(self, model: Any) -> None:
        """Make the optimizer's variables, where only the first batch would."""
        ...

    def state_variables(self, model: Any) -> list[Any]:
        """Return all variables that training changes, each once: weights, seeds of random layers, the optimizer's."""
        ...

    def planned_variables(self, model: Any) -> list[Any]:
        """Return the variables that decide on the layout of a file."""
        ...

    def unsaved_variables(self, model: Any, *, optimizer: bool) -> list[Any]:
        """Return the variables that training changes, and stock saving leaves out.

        Args:
            model: The model.
            optimizer: Whether the format has a place for the optimizer's.
        """
        ...

    def saved_state(self, model: Any, *, assets: bool) -> SavedState | None:
        """Return what stock saving would write of a built model; None where that cannot be seen."""
        ...

    def serialized(self, model: Any) -> tuple[bytes, bytes] | None:
        """Return ``config.json`` and ``metadata.json`` of a ``.keras`` file; None where that cannot be seen."""
        ...

    def save_legacy_model(self, model: Any, file: Any) -> None:
        """Write a whole model in the legacy HDF5 layout to an open ``h5py.File``."""
        ...

    def save_weights(self, model: Any, file: Any) -> None:
        """Write the layout of ``.weights.h5`` to an open ``h5py.File``."""

    def save_legacy_weights(self, model: Any, file: Any) -> None:
        """Write the weights in the legacy HDF5 layout to an open ``h5py.File``."""
        ...

    def metric_directions(self, model: Any) -> dict[str, Mode]:
        """Return the way in which metrics improve, by name in the logs, for those where it is known."""
        ...

    def log_names(self, model: Any) -> set[str] | None:
        """Return the names that training will log, without those of validation; None where that cannot be known."""
        ...


def of(model: Any) -> Framework:
    """Return the framework that a model is of."""
    found: Framework = _module("_tf_keras" if is_tf_keras(model) else "_keras")
    return found


def default() -> Framework:
    """Return the framework whose ``ModelCheckpoint`` this package gives: TensorFlow's own switch says which."""
    found: Framework = _module("_tf_keras" if wants_tf_keras() else "_keras")
    return found


def fit_around(model: Any) -> Any:
    """Return the ``fit`` of ``model`` that has called the caller's hook ``on_train_begin``."""
    return _module("_tf_keras_fit" if is_tf_keras(model) else "_keras_fit").around(sys._getframe(1))


def is_tf_keras(model: Any) -> bool:
    """Tell whether a model is one of tf_keras 2."""
    return any(base.__module__.partition(".")[0] == "tf_keras" for base in type(model).__mro__)


def callback_classes(name: str) -> tuple[Any, ...]:
    """Return the callback classes of a name, of each framework that has been imported."""
    loaded = [sys.modules[package] for package in ("keras", "tf_keras") if package in sys.modules]
    found = [getattr(getattr(package, "callbacks", None), name, None) for package in loaded]
    return tuple(each for each in found if isinstance(each, type))


def as_callback(hooks: type, framework: Framework) -> Any:
    """Return a class of hooks as one of callbacks of a framework."""
    return type(hooks.__name__, (hooks, framework.Callback), {"__module__": hooks.__module__})


def variables_not_in(state: SavedState, variables: Iterable[Any]) -> list[Any]:
    """Return those of the variables whose values a saved state is not made of."""
    saved = {id(array.value) for array in state.arrays}
    return [variable for variable in variables if id(variable) not in saved]


def once(variables: Iterable[Any]) -> list[Any]:
    """Return each variable once, in order."""
    return list({id(variable): variable for variable in variables}.values())


def unsaved(framework: Framework, model: Any, *, optimizer: bool) -> Iterator[Any]:
    """Yield the variables that a save of weights, and of the optimizer's state if it has a place for it, leaves out."""
    saved = [*framework.weights(model), *(framework.optimizer_variables(model) if optimizer else ())]
    known = set(map(id, saved))
    yield from (variable for variable in framework.state_variables(model) if id(variable) not in known)


def state_bytes(model: Any, *, optimizer: bool = True) -> int:
    """Return the size of what a save holds: weights and, if asked for, the optimizer's state as far as it is built."""
    framework = of(model)
    variables = framework.state_variables(model) if optimizer else framework.weights(model)
    return sum(math.prod(v.shape) * max(1, _bits(framework.dtype_of(v)) // 8) for v in variables)


def _bits(dtype: str) -> int:
    digits = "".join(c for c in dtype.partition("_")[0] if c.isdigit())
    return int(digits) if digits else 8


def hdf5_by_path(write: Callable[[Path], None], file: Any, *, name: str = "m.h5") -> None:
    """Have a writer that wants a path fill an open ``h5py.File``; the path's last part is ``name``."""
    with tempfile.TemporaryDirectory(prefix="lastgood-") as directory:
        path = Path(directory, name)
        write(path)
        _copy_hdf5(path, file)


def hdf5_by_walk(saving_lib: Any, model: Any, file: Any) -> None:
    """Have stock Keras walk over a model and fill an open ``h5py.File`` as it fills a ``.weights.h5``.

    It does so by way of memory: on a disk that is full, HDF5 can end the process.

    Args:
        saving_lib: The Keras's own module of that name, whose names are private.
        model: The model.
        file: The file.
    """
    try:
        store_of, walk = saving_lib.H5IOStore, saving_lib._save_state
    except AttributeError:
        hdf5_by_path(model.save_weights, file, name="m.weights.h5")
        return
    memory = io.BytesIO()
    store = store_of(memory, mode="w")
    walk(model, store, None, "", set())
    store.close()
    _copy_hdf5(memory, file)


def _copy_hdf5(origin: Any, file: Any) -> None:
    import h5py

    with h5py.File(origin, "r") as source:
        file.attrs.update(source.attrs)
        for each in source:
            source.copy(each, file)


def are_the_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Tell whether two lists hold the same variables in the same order."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


class Notes:
    """Stands in for the store of a weights file; notes what would be written.

    Attributes:
        groups: Attributes of each group, by path.
        arrays: The arrays.
    """

    keeps_empty_groups = False

    def __init__(self) -> None:
        """Begin with nothing."""
        self.groups: dict[str, dict[str, str]] = {}
        self.arrays: list[SavedArray] = []
        self._group = ""

    def __bool__(self) -> bool:
        return True

    def make(self, path: str, metadata: Mapping[str, str] | None = None) -> "Notes":
        """Begin the group of an object."""
        self._group = f"{path}/vars" if path else "vars"
        if metadata or self.keeps_empty_groups:
            self.groups[self._group] = dict(metadata or {})
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        self.groups.setdefault(self._group, {})
        self.arrays.append(SavedArray(self._group, key, value))


class Assets:
    """Stands in for the store of assets; gives each layer a directory."""

    def __init__(self, directory: str) -> None:
        """Keep them below ``directory``."""
        self._root = Path(directory)

    def __bool__(self) -> bool:
        return True

    def make(self, path: str) -> str:
        """Return the directory of an object."""
        made = self._root / path
        made.mkdir(parents=True, exist_ok=True)
        return str(made)

    def contents(self) -> dict[str, bytes]:
        """Return what was written, by path."""
        files = [path for path in self._root.rglob("*") if path.is_file()]
        return {path.relative_to(self._root).as_posix(): path.read_bytes() for path in files}
