"""The stores into which stock Keras saves a model, and stand-ins that record what it would save.

Both generations of Keras save in the same way: a function walks over the model and passes each layer, optimizer and
metric a group of a store of weights and a directory of a store of assets. Its name, and those of the stores, are
private; ``keras3`` and ``tf_keras2`` look them up.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from .._storage.scratch import scratch_directory
from .adapter import SavedArray, SavedState

Walk = Callable[[Any, Any, Any, str, set[int]], None]
"""Keras's function: takes the model, both stores (None skips one), the path of the group, and what it has visited."""

VariablesOf = Mapping[type, Callable[[Any], Iterable[Any]]]
"""For classes whose objects would save copies of their variables: a function that returns those variables."""


class RecordingStore:
    """Stands in for the store of weights; records what would be written.

    Attributes:
        groups: Attributes of each group, by path.
        arrays: The arrays, in the order in which they came.
    """

    def __init__(self, *, keeps_empty_groups: bool = False) -> None:
        """Record nothing yet.

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
    """Stands in for the store of assets; gives each object a directory."""

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
) -> SavedState | None:
    """Return what ``walk`` would save of a model; None if a layer asks the store for more than it can do.

    Stock saving then either knows how, or reports why not.

    Args:
        walk: Keras's own function.
        model: A built model.
        store: Records the arrays.
        assets_class: The class of the store of assets; None leaves the assets out.
        variables_of: The classes whose objects are to save their variables instead of copies.
    """
    with scratch_directory() as directory, _saving_variables(variables_of):
        assets = assets_class(directory) if assets_class is not None else None
        try:
            walk(model, store, assets, "", set())
        except Exception:  # noqa: BLE001 - code of any layer, which may do anything with a store
            return None
        contents = assets.contents() if assets is not None else {}
    return SavedState(store.groups, store.arrays, contents)


@contextlib.contextmanager
def _saving_variables(variables_of: VariablesOf) -> Iterator[None]:
    """Make objects of the classes pass their variables to a store; the stock method copies each one, which is slow."""
    owners = {_owner(cls): variables for cls, variables in variables_of.items()}
    stock = {owner: owner.save_own_variables for owner in owners}
    for owner, variables in owners.items():
        owner.save_own_variables = _method_that_saves(variables)
    try:
        yield
    finally:
        for owner, method in stock.items():
            owner.save_own_variables = method


def _owner(cls: type) -> Any:
    """Return the class that defines the method of ``cls``: its subclasses, too, find it there."""
    return next(base for base in cls.__mro__ if "save_own_variables" in vars(base))


def _method_that_saves(variables: Callable[[Any], Iterable[Any]]) -> Callable[[Any, Any], None]:
    def save_own_variables(self: Any, store: Any) -> None:
        for i, variable in enumerate(variables(self)):
            store[str(i)] = variable

    return save_own_variables


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
