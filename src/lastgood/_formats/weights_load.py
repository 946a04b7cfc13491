"""Loading weights from a file into a model: they are checked first, then read directly into the variables.

The fast path is for a model whose every saved array is a variable with the shape and type in the file. Stock Keras
loads anything else after the check: a layer that loads its own variables, a type to convert, a file of another layout.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .._bytes import digests, weights_file
from .._bytes.hdf5_reader import Contents, StoredArray
from .._bytes.weights_file import FoundRecord
from .._errors import CorruptCheckpointError, RestoreError
from .._keras import ModelAdapter, ModelLoader, adapt, kind_of
from .._snapshot.to_device import fill, new_tensor
from .._storage import Extent, Location, StoredFile
from .._threads import cores, spread

_MOST_NAMED = 3


class Loader:
    """A loader of an open checkpoint's weights, and of its optimizer state if the model has a place for it."""

    def __init__(
        self, adapter: ModelAdapter, at: Location, file: StoredFile, place: Extent, record: FoundRecord
    ) -> None:
        """Store the model and the checkpoint.

        Args:
            adapter: A built model.
            at: The location of the file.
            file: The open file.
            place: The extent of the HDF5 file in it.
            record: The offset of its record, and the record; None if it has none.
        """
        self._adapter = adapter
        self._at = at
        self._file = file
        self._place = place
        self._record = record
        self._contents = Contents({}, marked=False)
        self._variables: Mapping[str, Any] | None = None
        self._is_plain = False
        self._filled: set[str] = set()

    def check(self, *, verified: bool, exact: bool) -> None:
        """Check the file, and check that it matches the model.

        Args:
            verified: Whether its digests have already been checked.
            exact: Whether it must hold exactly the model's variables.

        Raises:
            CorruptCheckpointError: The file is damaged.
            RestoreError: It does not match the model.
        """
        adapter, record = self._adapter, self._record
        damaged = digests.find_damage(self._file, self._place.offset, *record) if record and not verified else None
        self._contents = weights_file.contents(self._file, self._place, record)
        if damaged:
            known, _ = _variables_by_path(adapter)
            paths = {name: adapter.path_of(variable) for name, variable in (known or {}).items()}
            raise weights_file.damage_error(self._file.path, damaged, self._contents, paths)
        _build_optimizer(adapter, self._contents)
        variables, plainly = _variables_by_path(adapter)
        if variables is not None and exact:
            variables = {name: v for name, v in variables.items() if not name.startswith(adapter.epoch_groups)}
        if variables is not None:
            _check_shapes(adapter, self._file.path, variables, self._contents, exact=exact)
        self._variables = variables
        self._is_plain = plainly and variables is not None and _is_complete(adapter, variables, self._contents)

    def can_read_all(self) -> bool:
        """Check a file that was verified; return True if :meth:`fill` does not need stock Keras.

        Raises:
            CorruptCheckpointError: The file is damaged.
        """
        try:
            self.check(verified=True, exact=False)
        except CorruptCheckpointError:
            raise
        except RestoreError:  # stock Keras may skip arrays of another shape, such as those of an optimizer
            return False
        return self._is_plain

    def fill_awaiting(self) -> None:
        """Give the variables of a new model that await their values those of the file, which was verified.

        Nothing is done if only stock Keras can determine which ones they are.
        """
        variables, plainly = _variables_by_path(self._adapter)
        awaiting = {name: each for name, each in (variables or {}).items() if self._adapter.awaits_value(each)}
        if awaiting and plainly:
            contents = weights_file.contents(self._file, self._place, self._record)
            is_alike = partial(_is_as_in_memory, self._adapter)
            self._read({n: v for n, v in awaiting.items() if is_alike(contents.arrays.get(n), v)}, contents)

    def fill(self) -> None:
        """Overwrite the model's variables.

        Raises:
            Exception: Whatever stock Keras raises, if Keras loads the file.
        """
        if self._variables is not None and self._is_plain:
            rest = {name: variable for name, variable in self._variables.items() if name not in self._filled}
            self._read(rest, self._contents)
            return
        with self._at.local() as path:
            self._adapter.model.load_weights(path)

    def _read(self, variables: Mapping[str, Any], contents: Contents) -> None:
        stored = [(variables[name], array) for name in variables if (array := contents.arrays[name]) and array.length]
        stored.sort(key=lambda each: each[1].length)  # so that threads get shares of about the same size
        spread(partial(_fill_each, self._adapter, self._file), stored, cores())
        self._filled |= variables.keys()


def load_model(
    loader: ModelLoader, at: Location, config: bytes, weights: Callable[[ModelAdapter], Loader], *, by_stock: bool
) -> Any:
    """Return the model of a checkpoint that was verified.

    Args:
        loader: Stock Keras's ``load_model``.
        at: The checkpoint.
        config: The model's configuration.
        weights: Returns a loader of the open checkpoint's weights for a model.
        by_stock: Whether the checkpoint holds more than its configuration and weights, which only stock Keras can load.

    Raises:
        Exception: Whatever stock Keras raises.
    """
    model = loading = None
    for model in () if by_stock else loader.creating(config):
        loading = loading or weights(adapt(model))
        loading.fill_awaiting()
    if loading is not None and loading.can_read_all():
        loading.fill()
        return model
    with at.local() as path:
        return loader.whole(str(path)) if model is None else loader.completed(model, str(path))


def _build_optimizer(adapter: ModelAdapter, contents: Contents) -> None:
    """Build the optimizer's variables if the file holds more of them than an unused optimizer has."""
    saved = sum(name.startswith("optimizer/vars/") for name in contents.arrays)
    if saved > len(adapter.optimizer_variables()):
        adapter.build_optimizer()


def _variables_by_path(adapter: ModelAdapter) -> tuple[dict[str, Any] | None, bool]:
    """Return the variables that stock loading would fill, by path in the file, and whether it would do only that.

    The variables are None if only stock Keras can determine them.
    """
    state = adapter.saved_state(assets=False) if adapter.model.built else None
    if state is None or not all(adapter.is_variable(array.value) for array in state.arrays):
        return None, False
    return {f"{array.group}/{array.key}": array.value for array in state.arrays}, state.loads_plainly


def _check_shapes(
    adapter: ModelAdapter, path: str, variables: Mapping[str, Any], contents: Contents, *, exact: bool
) -> None:
    """Check, before anything is overwritten, that the arrays in the file match the variables."""

    def in_model(name: str, variable: Any) -> str:
        of = f"{tuple(variable.shape)} ({adapter.dtype_of(variable)})"
        return f"'{adapter.path_of(variable)}' ('{name}') has the shape {of}"

    def fits(variable: Any, stored: StoredArray) -> bool:
        alike = not exact or kind_of(stored.dtype) == kind_of(adapter.dtype_of(variable)) or stored.dtype == "V1"
        return stored.shape == tuple(variable.shape) and alike

    wrong = [
        f"{in_model(name, variable)} in the model and {stored.shape} ({stored.dtype}) in the file"
        for name, variable in variables.items()
        if (stored := contents.arrays.get(name)) and not fits(variable, stored)
    ]
    if exact:
        passing = adapter.epoch_groups
        wrong += [
            f"{in_model(name, variable)} in the model and is not in the file"
            for name, variable in variables.items()
            if name not in contents.arrays
        ]
        wrong += [
            f"'{name}' is not in the model and {_in_words(stored)} in the file"
            for name, stored in contents.arrays.items()
            if name not in variables and not name.startswith(passing)
        ]
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more differ" if len(wrong) > _MOST_NAMED else ""
        raise RestoreError(
            f"Error loading file from {path}. Reason: it does not match the model: "
            f"{'; '.join(wrong[:_MOST_NAMED])}{more}. Nothing was loaded. Build the model that was saved, or load "
            "another checkpoint."
        )


def _in_words(stored: StoredArray | None) -> str:
    return f"has the shape {stored.shape} ({stored.dtype})" if stored else "is"


def _is_complete(adapter: ModelAdapter, variables: Mapping[str, Any], contents: Contents) -> bool:
    """Return True if the variables' groups in the file hold exactly these variables, stored as in memory."""
    groups = {name.rpartition("/")[0] for name in variables}
    stored = {name for name in contents.arrays if name.rpartition("/")[0] in groups}
    return stored == variables.keys() and all(
        _is_as_in_memory(adapter, contents.arrays[name], variable) for name, variable in variables.items()
    )


def _is_as_in_memory(adapter: ModelAdapter, stored: StoredArray | None, variable: Any) -> bool:
    """Return True if an array is stored as in memory; HDF5 has no 8-bit floats, and stores them as bytes (``V1``)."""
    if stored is None or stored.shape != tuple(variable.shape):
        return False
    dtype = adapter.dtype_of(variable)
    return stored.dtype == dtype or (stored.dtype == "V1" and dtype.startswith("float8"))


def _fill_each(adapter: ModelAdapter, file: StoredFile, share: Sequence[tuple[Any, StoredArray]]) -> None:
    backend = adapter.backend()
    for variable, array in share:
        dtype, read = adapter.dtype_of(variable), partial(file.read_into, offset=array.offset)
        if adapter.awaits_value(variable):
            adapter.give_value(variable, new_tensor(tuple(variable.shape), dtype, read, backend))
        else:
            fill(variable, adapter.tensor_of(variable), dtype, read, backend)
