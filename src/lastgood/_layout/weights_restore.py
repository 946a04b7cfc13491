"""Weights from a file into a model: checked first, then read straight to where they belong.

The fast way serves a model whose every saved array is a variable of the file's shape and type. Anything else (a layer
that loads its own variables, a type to be converted, a file of another layout) is for stock Keras, after the check.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .. import _frameworks
from .._errors import RestoreError
from .._frameworks import Framework
from .._snapshot.filling import fill
from .._storage.positioned import PositionedFile
from .._threads import cores, spread
from . import digests, weights_file
from .hdf5_reader import Contents, StoredArray
from .weights_file import FoundRecord, Place, WhenAlike

_MOST_NAMED = 3


def load(
    model: Any, file: PositionedFile, place: Place, record: FoundRecord, *, when_alike: WhenAlike | None = None
) -> None:
    """Load the weights of a checkpoint, and its optimizer state as far as the model has room for one.

    Args:
        model: A built model.
        file: The checkpoint.
        place: Where the HDF5 file lies in it: (offset, length).
        record: Where its record begins, and the record; None if it has none.
        when_alike: If it is given, the file was verified, and has to have the model's variables, all of them and no
            others. It is called when that is so, before any is overwritten.

    Raises:
        CorruptCheckpointError: The file is damaged; nothing was loaded.
        RestoreError: It is not one of this model; nothing was loaded.
        Exception: Whatever stock Keras raises, where the loading is its.
    """
    damaged = digests.find_damage(file, place[0], *record) if record and when_alike is None else None
    contents = weights_file.contents(file, place, record)
    framework = _frameworks.of(model)
    if damaged:
        known = _variables_by_path(framework, model) or {}
        paths = {name: framework.path_of(variable) for name, variable in known.items()}
        raise weights_file.damage_error(file.path, damaged, contents, paths)
    _build_optimizer(framework, model, contents)
    variables = _variables_by_path(framework, model)
    if variables is not None and when_alike is not None:
        variables = {name: v for name, v in variables.items() if not name.startswith(framework.PASSING_GROUPS)}
    if variables is not None:
        _check_shapes(framework, file.path, variables, contents, exact=when_alike is not None)
    if when_alike is not None:
        when_alike()
    if variables is not None and _is_complete(framework, variables, contents):
        _read(framework, file, variables, contents.arrays)
        return
    model.load_weights(file.path)


def _build_optimizer(framework: Framework, model: Any, contents: Contents) -> None:
    """Make room for the optimizer's state, where the file has more of it than an optimizer that was never used."""
    saved = sum(name.startswith("optimizer/vars/") for name in contents.arrays)
    if saved > len(framework.optimizer_variables(model)):
        framework.build_optimizer(model)


def _variables_by_path(framework: Framework, model: Any) -> dict[str, Any] | None:
    """Return the variables that stock loading would fill, by path in the file; None where that is for stock to say."""
    state = framework.saved_state(model, assets=False) if model.built else None
    if state is None or not all(framework.is_variable(array.value) for array in state.arrays):
        return None
    return {f"{array.group}/{array.key}": array.value for array in state.arrays}


def _check_shapes(
    framework: Framework, path: Path, variables: Mapping[str, Any], contents: Contents, *, exact: bool
) -> None:
    """Check, before anything is overwritten, that the file is of a model of these shapes, and these variables."""
    wrong = [
        f"'{framework.path_of(variable)}' has the shape {tuple(variable.shape)} in the model and {stored.shape} in the "
        "file"
        for name, variable in variables.items()
        if (stored := contents.arrays.get(name)) and stored.shape != tuple(variable.shape)
    ]
    if exact:
        passing = framework.PASSING_GROUPS
        wrong += [
            f"'{framework.path_of(variable)}' is not in the file ('{name}')"
            for name, variable in variables.items()
            if name not in contents.arrays
        ]
        wrong += [
            f"the file has '{name}', and the model has not"
            for name in contents.arrays
            if name not in variables and not name.startswith(passing)
        ]
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more differ" if len(wrong) > _MOST_NAMED else ""
        raise RestoreError(
            f"Error loading file from {path}. Reason: it is not of this model: {'; '.join(wrong[:_MOST_NAMED])}{more}. "
            "Nothing was loaded. Build the model that was saved, or load another checkpoint."
        )


def _is_complete(framework: Framework, variables: Mapping[str, Any], contents: Contents) -> bool:
    """Tell whether the file has each of the variables, and nothing more in the same groups, as they are in memory."""
    groups = {name.rpartition("/")[0] for name in variables}
    stored = {name for name in contents.arrays if name.rpartition("/")[0] in groups}
    return stored == variables.keys() and all(
        (array := contents.arrays[name]) is not None and array.dtype == framework.dtype_of(variable)
        for name, variable in variables.items()
    )


def _read(
    framework: Framework, file: PositionedFile, variables: Mapping[str, Any], arrays: Mapping[str, StoredArray | None]
) -> None:
    stored = [(variables[name], array) for name in variables if (array := arrays[name]) and array.length]
    stored.sort(key=lambda each: each[1].length)  # so that threads get shares of about the same size
    backend = framework.backend()

    def fill_each(share: Sequence[tuple[Any, StoredArray]]) -> None:
        for variable, array in share:
            tensor, dtype = framework.tensor_of(variable), framework.dtype_of(variable)
            fill(variable, tensor, dtype, partial(file.read_into, offset=array.offset), backend)

    spread(fill_each, stored, cores())
