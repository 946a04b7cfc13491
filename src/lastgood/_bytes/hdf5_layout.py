"""The layout of an HDF5 weights file, planned once: the metadata, and the offset of each dataset.

HDF5 itself writes the file without its data: a sparse file in which every dataset has its place but no contents. All
other bytes are kept as they are in that file; a save copies them and the data to one buffer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from .._storage import Extent, scratch_directory
from . import digests
from .digests import Running

# Types that HDF5 does not have; its files hold them as opaque bytes, with the name in an attribute.
_OPAQUE = {"bfloat16": np.dtype("V2")}
# What lastgood adds to the file: an attribute of the root as a mark, and a group whose name no layer can have.
MARK = "lastgood"
GROUP = "_lastgood"
DIGESTS = "digests"
TRAINING = "training"


@dataclass(frozen=True)
class Dataset:
    """One array of the file.

    Attributes:
        group: Path of its group, such as ``layers/dense/vars``.
        key: Its name in the group.
        shape: Its shape.
        dtype: Its type's name, such as ``float32`` or ``bfloat16``.
    """

    group: str
    key: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Hdf5Layout:
    """A file without its data.

    Attributes:
        size: Length of the file in bytes.
        metadata: Everything but the data: (offset, bytes), in order.
        extents: The extent of each dataset; the length is 0 for an empty one.
        digests: The extent of the table of digests of the training state and of the datasets that are not empty.
        training: The extent of the training state at its maximum length.
    """

    size: int
    metadata: tuple[tuple[int, bytes], ...]
    extents: tuple[Extent, ...]
    digests: Extent
    training: Extent

    @property
    def tensors(self) -> Sequence[Extent]:
        """The extents that are not empty, including that of the training state, sorted by offset."""
        return sorted([self.training, *(extent for extent in self.extents if extent[1])])

    def put_metadata(self, memory: npt.NDArray[np.uint8]) -> None:
        """Copy everything but the data to its place."""
        for offset, content in self.metadata:
            memory[offset : offset + len(content)] = np.frombuffer(content, np.uint8)

    def put_digests(self, memory: npt.NDArray[np.uint8], running: Running | None = None) -> bytes:
        """Write the table of the datasets' digests to its place, and return it; compute them unless ``running`` has."""
        offset, length = self.digests
        table = digests.make_table(memory, self.tensors, running)
        memory[offset : offset + length] = np.frombuffer(table, np.uint8)
        return table


def plan(groups: Mapping[str, Mapping[str, str]], datasets: Sequence[Dataset], training: int) -> Hdf5Layout:
    """Lay out a file.

    Args:
        groups: Attributes of each group, by path.
        datasets: The arrays, each in a group.
        training: The maximum length of the training state in bytes; at least 1.
    """
    with scratch_directory() as directory:
        path = directory / "layout.h5"
        with h5py.File(path, "w") as file:
            for name, attributes in groups.items():
                file.create_group(name).attrs.update(attributes)
            file.attrs[MARK] = digests.VERSION
            extents = [_create(file[dataset.group], dataset) for dataset in datasets]
            rows = sum(length > 0 for _, length in extents) + 1
            own = file.create_group(GROUP)
            training_at = _create(own, Dataset(GROUP, TRAINING, (training,), "uint8"))
            table_at = _create(own, Dataset(GROUP, DIGESTS, (rows, digests.COLUMNS), "uint64"))
        size = path.stat().st_size
        metadata = _all_but(path, [*extents, training_at, table_at], size)
    return Hdf5Layout(size, tuple(metadata), tuple(extents), table_at, training_at)


def _create(group: h5py.Group, dataset: Dataset) -> Extent:
    """Create a dataset that has a place but no contents; return its extent."""
    opaque = _OPAQUE.get(dataset.dtype)
    kind = opaque or np.dtype(dataset.dtype)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(dataset.shape) if dataset.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    made = h5py.h5d.create(group.id, dataset.key.encode(), h5py.h5t.py_create(kind, logical=True), space, properties)
    if opaque is not None:
        h5py.Dataset(made).attrs["dtype"] = dataset.dtype
    length = int(np.prod(dataset.shape, dtype=np.int64)) * kind.itemsize
    return Extent(made.get_offset() or 0, length) if length else Extent(0, 0)


def _all_but(path: Path, extents: Sequence[Extent], size: int) -> list[tuple[int, bytes]]:
    """Return the bytes between the extents."""
    found, at = [], 0
    with path.open("rb") as file:
        for offset, length in [*sorted(extent for extent in extents if extent[1]), (size, 0)]:
            if offset > at:
                file.seek(at)
                found.append((at, file.read(offset - at)))
            at = offset + length
    return found
