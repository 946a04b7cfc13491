"""Loading from a directory of arrays in parts: each process reads the parts of which its devices need something."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._bytes import zarr_read
from .._bytes.zarr_layout import SplitArray
from .._keras import ModelAdapter
from .._keras.state_tree import variables_by_path
from .._snapshot.to_device import fill_by_part
from .._storage import Location
from .._threads import cores, spread


def fill(adapter: ModelAdapter, at: Location, arrays: Mapping[str, SplitArray]) -> None:
    """Assign to the model's variables the arrays of a directory that was verified.

    Args:
        adapter: The model.
        at: The directory.
        arrays: The array for each variable, by the variable's path in the tree; others keep their value.

    Raises:
        OSError: The storage failed.
    """
    chosen = [(variable, arrays[path]) for path, variable in variables_by_path(adapter).items() if path in arrays]
    backend = adapter.backend()

    def fill_each(share: Sequence[tuple[Any, SplitArray]]) -> None:
        for variable, array in share:

            def read(box: zarr_read.Box, array: SplitArray = array) -> npt.NDArray[Any]:
                found = zarr_read.read(at, array, box)
                return found.view(np.dtype(array.dtype)) if found.dtype != array.dtype else found

            fill_by_part(variable, read, backend)

    spread(fill_each, chosen, cores())
