"""Saving to a directory of arrays in parts: each process copies its own parts, and writes each to a file."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._bytes import directory_record, zarr_as_hdf5, zarr_layout
from .._bytes.zarr_layout import SplitArray
from .._errors import ArgumentError
from .._keras import ModelAdapter
from .._keras.state_tree import KINDS, variables_by_path
from .._snapshot import copier, staging
from .._snapshot.parts import own_parts, shape_of_parts
from .._storage import Report, Stage
from .._storage.in_memory import MemoryFile
from . import weights_plan

_ALIGNED = 64
_SMALL = 1 << 20  # larger parts are few: each is sent straight from memory


class _Part(NamedTuple):
    name: str  # of its file
    tensor: Any
    shape: tuple[int, ...]
    itemsize: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.itemsize


class CopiedParts:
    """The parts of a model's state that one process writes, copied to the staging buffer."""

    def __init__(self, adapter: ModelAdapter, *, chief: bool) -> None:
        """Copy this process's parts.

        Args:
            adapter: The model.
            chief: Whether this is the process that also writes what all have.
        """
        parts = list(_parts_of(adapter, chief=chief))
        self._memory = staging.shared(sum(_room(part) for part in parts))
        self._files: list[tuple[str, memoryview]] = []
        places: list[npt.NDArray[Any]] = []
        at = 0
        for part in parts:
            own = self._memory[at : at + part.nbytes]
            self._files.append((part.name, own.data))
            places.append(own.view(f"u{part.itemsize}").reshape(part.shape))
            at += _room(part)
        copier(adapter.backend())([part.tensor for part in parts], places)

    @property
    def size(self) -> int:
        """The total bytes of the parts."""
        return sum(len(content) for _, content in self._files)

    def write(self, stage: Stage, report: Report) -> list[str]:
        """Write the parts to a stage; return the names of their files.

        Raises:
            OSError: The storage failed.
        """
        written = 0
        for name, content in self._files:
            if len(content) < _SMALL:
                stage.write(name, bytes(content))
            else:
                stage.take(name, MemoryFile(name, content), partial(_report_from, report, written))
            written += len(content)
            report(written)
        return [name for name, _ in self._files]


def _report_from(report: Report, before: int, written: int) -> None:
    report(before + written)


def check(adapter: ModelAdapter, split: Sequence[Any]) -> None:
    """Check that the directory has a place for each split variable, and its record for each file.

    Raises:
        ArgumentError: It has not.
    """
    known = set(map(id, variables_by_path(adapter).values()))
    outside = next((each for each in split if id(each) not in known), None)
    if outside is not None:
        raise ArgumentError(
            f"The variable '{adapter.path_of(outside)}' is split over the devices of several processes, and stock "
            "Keras does not save this variable. Leave it out of the layout map, so that each process holds all of it."
        )
    names = _files_of(adapter)
    if not directory_record.can_list(names):
        raise ArgumentError(
            f"The state is split into {len(names)} parts, which are more files than a directory can have here. Split "
            "it over fewer devices, or save to a path with the ending .weights.h5."
        )


def files_around(adapter: ModelAdapter) -> dict[str, bytes]:
    """Return the contents of all files except the parts, by name."""
    files = zarr_layout.files_around(list(_arrays(adapter)), KINDS)
    described = _as_hdf5(adapter)
    return files if described is None else {**files, zarr_as_hdf5.NAME: described}


def _as_hdf5(adapter: ModelAdapter) -> bytes | None:
    """Describe the HDF5 file that stock Keras would write; None if it would hold more than the model's variables."""
    state = adapter.saved_state(assets=True)
    paths = {id(variable): path for path, variable in variables_by_path(adapter).items()}
    if state is None or any(id(each.value) not in paths for each in state.arrays):
        return None
    if any(not weights_plan.has_place(adapter, each) for each in state.arrays):
        return None
    places = [(each.group, each.key, paths[id(each.value)]) for each in state.arrays]
    return zarr_as_hdf5.described(state.groups, places, None if state.assets else adapter.serialized())


def files_elsewhere(adapter: ModelAdapter) -> set[str]:
    """Return the names of the files that the other processes have to write."""
    return _files_of(adapter) - {part.name for part in _parts_of(adapter, chief=True)}


def size(adapter: ModelAdapter) -> int:
    """Return the bytes of the staging buffer that the chief needs."""
    return sum(_room(part) for part in _parts_of(adapter, chief=True))


def _files_of(adapter: ModelAdapter) -> set[str]:
    return {array.file(starts) for array in _arrays(adapter) for starts in array.starts()}


def _arrays(adapter: ModelAdapter) -> Iterator[SplitArray]:
    yield from (array for array, _, _ in _held(adapter))


def _held(adapter: ModelAdapter) -> Iterator[tuple[SplitArray, Any, bool]]:
    """Yield each array, its tensor, and whether that is split over processes."""
    split = set(map(id, adapter.split_variables()))
    for path, variable in variables_by_path(adapter).items():
        tensor = adapter.tensor_of(variable)
        shape = tuple(tensor.shape)
        part = shape_of_parts(tensor) if id(variable) in split else shape
        yield SplitArray(path, shape, adapter.dtype_of(variable), part), tensor, id(variable) in split


def _parts_of(adapter: ModelAdapter, *, chief: bool) -> Iterator[_Part]:
    for array, tensor, is_split in _held(adapter):
        itemsize = np.dtype(array.dtype).itemsize
        if is_split:
            for part in own_parts(tensor):
                yield _Part(array.file(part.starts), part.tensor, array.part, itemsize)
        elif chief:
            yield _Part(array.file([0] * len(array.shape)), tensor, array.shape, itemsize)


def _room(part: _Part) -> int:
    return -(-part.nbytes // _ALIGNED) * _ALIGNED
