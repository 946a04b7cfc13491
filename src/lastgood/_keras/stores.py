"""The stores into which stock Keras saves a model, and stand-ins that record what it would save.

Both generations of Keras save in the same way: a function walks over the model and passes each layer, optimizer and
metric a group of a store of weights and a directory of a store of assets. The names of this function and of the stores
are private; ``keras3`` and ``tf_keras2`` look them up.
"""

import io
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import h5py

from .._storage.scratch import scratch_directory
from .adapter import SavedArray, SavedState

Walk = Callable[[Any, Any, Any, str, set[int]], None]
"""Keras's function: takes the model, both stores (None skips one), the path of the group, and the visited objects."""

VariablesOf = Mapping[type, Callable[[Any], Iterable[Any]]]
"""For classes whose objects would save copies of their variables: a function that returns those variables."""


class RecordingStore:
    """A stand-in for the store of weights that records what would be written.

    Attributes:
        groups: Attributes of each group, by path.
        arrays: The arrays, in the order in which they were saved.
    """

    def __init__(self, *, keeps_empty_groups: bool = False) -> None:
        """Create an empty store.

        Args:
            keeps_empty_groups: Whether the file also has groups without arrays and attributes.
        """
        self.groups: dict[str, dict[str, str]] = {}
        self.arrays: list[SavedArray] = []
        self._keeps_empty_groups = keeps_empty_groups
        self._group = ""

    def __bool__(self) -> bool:
        return True

    def make(self, path: str, metadata: Mapping[str, str] | None = None) -> "RecordingStore":
        """Begin the group of an object."""
        self._group = f"{path}/vars" if path else "vars"
        if metadata or self._keeps_empty_groups:
            self.groups[self._group] = dict(metadata or {})
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        self.groups.setdefault(self._group, {})
        self.arrays.append(SavedArray(self._group, key, value))


class AssetStore:
    """A stand-in for the store of assets that gives each object a directory."""

    def __init__(self, directory: Path) -> None:
        """Keep the assets below ``directory``."""
        self._root = directory

    def __bool__(self) -> bool:
        return True

    def make(self, path: str) -> str:
        """Create the directory of an object and return its path."""
        made = self._root / path
        made.mkdir(parents=True, exist_ok=True)
        return str(made)

    def contents(self) -> dict[str, bytes]:
        """Return the contents of the files, by path."""
        files = [path for path in self._root.rglob("*") if path.is_file()]
        return {path.relative_to(self._root).as_posix(): path.read_bytes() for path in files}


def recorded(
    walk: Walk,
    model: Any,
    store: RecordingStore,
    assets_class: type[AssetStore] | None,
    variables_of: VariablesOf,
    plain_loads: Collection[Any],
) -> SavedState | None:
    """Return what ``walk`` would save for a model; None if a layer needs more than the stand-ins support.

    Stock saving then either succeeds or reports why not.

    Args:
        walk: Keras's own function.
        model: A built model.
        store: Records the arrays.
        assets_class: The class of the store of assets; None leaves the assets out.
        variables_of: The classes whose objects are to save their variables instead of copies.
        plain_loads: The ``load_own_variables`` methods that only assign the arrays of the file to variables.
    """
    seen: list[Any] = []
    with scratch_directory() as directory:
        assets = assets_class(directory) if assets_class is not None else None
        try:
            _without_copies(walk, variables_of, seen)(model, store, assets, "", set())
        except Exception:  # noqa: BLE001 - code of any layer, which may do anything with a store
            return None
        contents = assets.contents() if assets is not None else {}
    plain = bool(seen) and all(_loads_plainly(each, plain_loads) for each in seen)
    return SavedState(store.groups, store.arrays, contents, plain)


def _loads_plainly(saved: Any, plain_loads: Collection[Any]) -> bool:
    """Return True if loading an object only assigns the arrays of the file to its variables."""
    method = getattr(type(saved), "load_own_variables", None)
    # Layers quantized with GPTQ or AWQ also note that they are calibrated.
    calibrated = getattr(saved, "quantization_mode", None) in ("gptq", "awq")
    return method is None or (method in plain_loads and not calibrated)


def _without_copies(walk: Walk, variables_of: VariablesOf, seen: list[Any]) -> Walk:
    """Return a ``walk`` for one use, in which objects of the classes store their variables instead of copies.

    It is Keras's function with a copy of its namespace. There, its name refers to a wrapper that replaces each such
    object with a stand-in. The classes are not changed, since other threads may be saving at the same time.

    Args:
        walk: Keras's own function; returned unchanged, so that it copies, if it is not a plain function of its module.
        variables_of: For each class, the variables of its objects.
        seen: Receives the visited objects.
    """
    if not isinstance(walk, FunctionType) or walk.__globals__.get(walk.__name__) is not walk:
        return walk
    namespace = _own_namespace(walk)
    own = namespace[walk.__name__]
    stand_ins: dict[int, Any] = {}  # one for each object: the walk knows visited objects by identity

    def save(saved: Any, *others: Any, **named: Any) -> None:
        seen.append(saved)
        stand_in = stand_ins.setdefault(id(saved), _stand_in(saved, variables_of))
        own(stand_in, *others, **named)

    namespace[walk.__name__] = save
    return save


def with_names(function: FunctionType, **names: Any) -> Callable[..., Any]:
    """Return a copy of a Keras function that uses other objects for some global names; its module is not changed."""
    namespace = _own_namespace(function)
    namespace.update(names)
    return _in_namespace(function, namespace)


def _own_namespace(function: FunctionType) -> dict[str, Any]:
    """Return a copy of a function's namespace in which all functions of its module look up names in that copy."""
    namespace = dict(function.__globals__)
    for name, value in function.__globals__.items():
        if isinstance(value, FunctionType) and value.__globals__ is function.__globals__:
            namespace[name] = _in_namespace(value, namespace)
    return namespace


def _in_namespace(function: FunctionType, namespace: dict[str, Any]) -> FunctionType:
    """Return a copy of a function that looks up global names in ``namespace``."""
    made = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _stand_in(saved: Any, variables_of: VariablesOf) -> Any:
    """Return a stand-in for an object that would save copies; the object itself if it overrides saving."""
    for cls, variables in variables_of.items():
        method = getattr(saved, "save_own_variables", None) if isinstance(saved, cls) else None
        if method is not None and getattr(method, "__func__", None) is getattr(cls, "save_own_variables", None):
            return _StandIn(saved, variables)
    return saved


class _StandIn:
    """A stand-in for an object while it is saved, which differs only in what it passes to the store."""

    def __init__(self, saved: Any, variables: Callable[[Any], Iterable[Any]]) -> None:
        self.__saved = saved
        self.__variables = variables

    def save_own_variables(self, store: Any) -> None:
        """Pass the variables themselves; the stock method copies each one, which takes seconds."""
        for i, variable in enumerate(self.__variables(self.__saved)):
            store[str(i)] = variable

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # Keras checks the types of what it saves
        return type(self.__saved)

    def __dir__(self) -> Iterable[str]:
        return dir(self.__saved)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__saved, name)


def hdf5_by_path(write: Callable[[Path], None], file: h5py.File, *, name: str = "m.h5") -> None:
    """Fill an open file with what ``write`` writes to a path, whose last part is ``name``."""
    with scratch_directory() as directory:
        path = directory / name
        write(path)
        _copy_hdf5(path, file)


def hdf5_by_walk(walk: Walk, model: Any, store_class: Callable[..., Any], file: h5py.File) -> None:
    """Fill an open file as stock Keras fills a ``.weights.h5``.

    The layout is first written to memory: on a full disk, HDF5 can end the process.

    Args:
        walk: Keras's own function.
        model: The model.
        store_class: The class of Keras's own store of weights.
        file: The file.
    """
    memory = io.BytesIO()
    store = store_class(memory, mode="w")
    walk(model, store, None, "", set())
    store.close()
    _copy_hdf5(memory, file)


def _copy_hdf5(origin: Path | io.BytesIO, file: h5py.File) -> None:
    with h5py.File(origin, "r") as source:
        file.attrs.update(source.attrs)
        for each in source:
            source.copy(each, file)
