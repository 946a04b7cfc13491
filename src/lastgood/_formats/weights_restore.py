"""Weights from a file into a model: checked first, then read straight to where they belong.

The fast way serves a model whose every saved array is a variable of the file's shape and type. Anything else (a layer
that loads its own variables, a type to be converted, a file of another layout) is for stock Keras, after the check.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras

from .. import _keras
from .._errors import CorruptCheckpointError, RestoreError
from .._snapshot.filling import fill
from .._storage.positioned import PositionedFile
from .._threads import cores, spread
from .hdf5_reader import Contents, StoredArray, read_contents, verify

_MOST_NAMED = 3


def load(model: Any, path: Path, place: tuple[int, int] | None, record_text: str | None) -> None:
    """Load the weights of a checkpoint, and its optimizer state as far as the model has room for one.

    Args:
        model: A built model.
        path: The checkpoint's file.
        place: Where the HDF5 file lies in it, (offset, length); None if it is the HDF5 file itself.
        record_text: The record, as it stands in the file; None if it has none.

    Raises:
        CorruptCheckpointError: The file is damaged; nothing was loaded.
        RestoreError: It is not one of this model; nothing was loaded.
        Exception: Whatever stock Keras raises, where the loading is its.
    """
    _keras.build_optimizer(model)
    with PositionedFile(path) as file:
        contents = read_contents(file, *(place or (0, file.size)))
        variables = _variables_by_path(model)
        with _named(variables):
            verify(file, contents, record_text)
        if variables is not None:
            _check_shapes(path, variables, contents)
            if _is_complete(variables, contents):
                _read(file, variables, contents.arrays)
                return
    model.load_weights(path)


def _variables_by_path(model: Any) -> dict[str, Any] | None:
    """Return the variables that stock loading would fill, by path in the file; None where that is for stock to say."""
    state = _keras.saved_state(model, assets=False) if model.built else None
    if state is None or not all(isinstance(array.value, keras.Variable) for array in state.arrays):
        return None
    return {f"{array.group}/{array.key}": array.value for array in state.arrays}


@contextmanager
def _named(variables: Mapping[str, Any] | None) -> Iterator[None]:
    """Name, in an error about a damaged array, the variable that it is of."""
    try:
        yield
    except CorruptCheckpointError as error:
        variable = (variables or {}).get(error.array or "")
        if variable is None:
            raise
        region = f"the variable '{variable.path}' (the array '{error.array}')"
        raise CorruptCheckpointError(error.path, region, array=error.array) from None


def _check_shapes(path: Path, variables: Mapping[str, Any], contents: Contents) -> None:
    """Check, before anything is overwritten, that the file is of a model of these shapes."""
    wrong = [
        f"'{variable.path}' has the shape {tuple(variable.shape)} in the model and {stored.shape} in the file"
        for name, variable in variables.items()
        if (stored := contents.arrays.get(name)) and stored.shape != tuple(variable.shape)
    ]
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more differ" if len(wrong) > _MOST_NAMED else ""
        raise RestoreError(
            f"Error loading file from {path}. Reason: it is not of this model: {'; '.join(wrong[:_MOST_NAMED])}{more}. "
            "Nothing was loaded. Build the model that was saved, or load another checkpoint."
        )


def _is_complete(variables: Mapping[str, Any], contents: Contents) -> bool:
    """Tell whether the file has each of the variables, and nothing more in the same groups, as they are in memory."""
    groups = {name.rpartition("/")[0] for name in variables}
    stored = {name for name in contents.arrays if name.rpartition("/")[0] in groups}
    return stored == variables.keys() and all(
        (array := contents.arrays[name]) is not None and array.dtype == keras.backend.standardize_dtype(variable.dtype)
        for name, variable in variables.items()
    )


def _read(file: PositionedFile, variables: Mapping[str, Any], arrays: Mapping[str, StoredArray | None]) -> None:
    stored = [(variables[name], array) for name in variables if (array := arrays[name]) and array.length]
    stored.sort(key=lambda each: each[1].length)  # so that threads get shares of about the same size
    backend = keras.backend.backend()

    def fill_each(share: Sequence[tuple[Any, StoredArray]]) -> None:
        for variable, array in share:
            fill(variable, partial(file.read_into, offset=array.offset), backend)

    spread(fill_each, stored, cores())
