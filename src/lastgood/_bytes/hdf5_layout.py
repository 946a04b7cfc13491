"""Where each byte of an HDF5 weights file goes, planned once: metadata in place, each data set at its offset.

The file is written by HDF5 itself, without its data: as a sparse file in which every data set has its place and no
contents. What is not data is kept as it stands there; a save copies it, and the data, into one buffer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from .._storage import Extent, scratch_directory
from . import digests

# Names that HDF5 gives no type to; its files hold them as opaque bytes with the name beside.
_OPAQUE = {"bfloat16": np.dtype("V2")}
# What is ours in the file: an attribute of the root that says so, and a group that no layer's name can be.
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
        metadata: What is not data: (offset, bytes), in order.
        extents: Place of each data set; the length is 0 for an empty one.
        digests: Place of the table of digests, of the data sets that are not empty and of the training state.
        training: Place of the training state; as long as it may get.
    """

    size: int
    metadata: tuple[tuple[int, bytes], ...]
    extents: tuple[Extent, ...]
    digests: Extent
    training: Extent

    @property
    def tensors(self) -> Sequence[Extent]:
        """The extents that are not empty, the training state among them, in the order of their offsets."""
        return sorted([self.training, *(extent for extent in self.extents if extent[1])])

    def put_metadata(self, memory: npt.NDArray[np.uint8]) -> None:
        """Copy what is not data to its places."""
        for offset, content in self.metadata:
            memory[offset : offset + len(content)] = np.frombuffer(content, np.uint8)

    def put_digests(self, memory: npt.NDArray[np.uint8]) -> bytes:
        """Compute the data sets' digests, put their table where the file has it, and return it."""
        offset, length = self.digests
        table = digests.make_table(memory, self.tensors)
        memory[offset : offset + length] = np.frombuffer(table, np.uint8)
        return table


def plan(groups: Mapping[str, Mapping[str, str]], datasets: Sequence[Dataset], training: int) -> Hdf5Layout:
    """Lay out a file.

    Args:
        groups: Attributes of each group, by path.
        datasets: The arrays, each in a group.
        training: The most bytes that the training state may have; at least 1.
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
    """Make a data set that has its place and no contents; return its place."""
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
    """Read what lies between the extents."""
    found, at = [], 0
    with path.open("rb") as file:
        for offset, length in [*sorted(extent for extent in extents if extent[1]), (size, 0)]:
            if offset > at:
                file.seek(at)
                found.append((at, file.read(offset - at)))
            at = offset + length
    return found
