"""A directory of arrays in parts, read as if it were the HDF5 file that stock Keras would have written.

``lastgood.weights.json`` in it has the groups of that file, and the place of each array. From these the file is laid
out, and what is read from it comes from the layout or from the parts. So whatever reads weights files reads such
directories, too; no more than one array at a time is in memory.
"""

import bisect
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _json
from .._errors import CorruptCheckpointError
from .._storage import Location, StoredFile
from . import zarr_read
from .hdf5_layout import Dataset, plan
from .zarr_layout import SplitArray, arrays_at

NAME = "lastgood.weights.json"


def described(
    groups: Mapping[str, Mapping[str, str]], places: Sequence[tuple[str, str, str]], texts: tuple[bytes, bytes] | None
) -> bytes:
    """Return the contents of that file.

    Args:
        groups: Attributes of each HDF5 group, by path.
        places: For each array: its group, its key there, and its path in the tree.
        texts: ``config.json`` and ``metadata.json`` of the model; None to keep none.
    """
    config, metadata = (text.decode() for text in texts) if texts else (None, None)
    said = {"groups": {name: dict(each) for name, each in groups.items()}, "arrays": places}
    return json.dumps({**said, "config": config, "metadata": metadata}).encode()


def read(at: Location) -> dict[str, Any]:
    """Return what that file says about the directory at ``at``.

    Raises:
        FileNotFoundError: There is none, since the model saves something other than its variables.
        CorruptCheckpointError: It is not JSON of this form.
    """
    content = (at / NAME).read(_json.LONGEST)
    try:
        said = _json.read(content, _json.LONGEST)
        groups = {str(name): _texts(attributes) for name, attributes in said["groups"].items()}
        places = [(str(group), str(key), str(path)) for group, key, path in said["arrays"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CorruptCheckpointError(at, f"the file {NAME!r}", str(error)) from error
    return {**said, "groups": groups, "arrays": places}


def _texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(text) for key, text in attributes.items()}


class _Piece(NamedTuple):
    start: int
    length: int
    content: bytes | SplitArray


class Hdf5OfParts(StoredFile):
    """The HDF5 file, of which nothing exists but the parts of its arrays."""

    def __init__(self, at: Location) -> None:
        """Lay out the file.

        Args:
            at: The directory.

        Raises:
            OSError: The storage failed, or the directory does not say how.
            CorruptCheckpointError: The directory is damaged.
        """
        said, arrays = read(at), {array.path: array for array in arrays_at(at)}
        if sum(array.nbytes for array in arrays.values()) > at.size():
            raise CorruptCheckpointError(at, "its arrays", "they claim more bytes than there are")
        try:
            chosen = [arrays[path] for _, _, path in said["arrays"]]
            datasets = [
                Dataset(group, key, array.shape, array.dtype)
                for (group, key, _), array in zip(said["arrays"], chosen, strict=True)
            ]
            layout = plan(said["groups"], datasets, 1)
        except (LookupError, ValueError, TypeError, OSError) as error:
            raise CorruptCheckpointError(at, f"the file {NAME!r}", str(error)) from error
        self.path = str(at)
        self.size = layout.size
        self._at = at
        pieces: list[_Piece] = [_Piece(offset, len(content), content) for offset, content in layout.metadata]
        pieces += [_Piece(*extent, array) for extent, array in zip(layout.extents, chosen, strict=True)]
        self._pieces = sorted(pieces, key=lambda piece: piece.start)
        self._last: tuple[SplitArray, npt.NDArray[np.uint8]] | None = None

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes that start at ``offset``. See :meth:`StoredFile.read_into`."""
        view = np.frombuffer(buffer, np.uint8)
        view[:] = 0  # what belongs to no piece, such as the training state
        first = bisect.bisect_right(self._pieces, offset, key=lambda piece: piece.start + piece.length)
        for start, length, content in self._pieces[first:]:
            if start >= offset + len(view):
                break
            begin, end = max(start, offset), min(start + length, offset + len(view))
            view[begin - offset : end - offset] = self._bytes(content)[begin - start : end - start]

    def _bytes(self, content: bytes | SplitArray) -> npt.NDArray[np.uint8]:
        if isinstance(content, bytes):
            return np.frombuffer(content, np.uint8)
        if self._last is None or self._last[0] is not content:
            self._last = None  # so that there are never two
            self._last = content, zarr_read.read(self._at, content).reshape(-1).view(np.uint8)
        return self._last[1]

    def close(self) -> None:
        """Drop the array that was read last."""
        self._last = None
