"""The training state as one block of bytes: strict JSON, and the arrays that the JSON refers to. No pickle.

    the JSON's length, 8 bytes, little-endian | the JSON, as UTF-8 | zeros | arrays, each at a multiple of 64 bytes

Whatever it holds, it is one block, so that the layout of a file depends only on the block's size. A value that JSON
cannot express is an object with the key ``$``: ``{"$": "array", "index": 3}`` is the fourth array in the JSON's list.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _json
from . import torch_values

VERSION = 1
_ALIGNED = 64
_HEAD = 8
_SMALLEST = 32 * 1024
_WORTH_COMPARING = 64 * 1024
_DEEPEST = 100
_KINDS = "biufc"
_LONGEST_NAME = 16  # of a type
# Types that NumPy does not have, and the integers of the same width that stand for them.
_UNNAMED = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Copy = Callable[[Sequence[Any], Sequence[npt.NDArray[Any]]], None]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a backend; it is copied when the block is written.

    Attributes:
        value: The tensor.
        shape: Its shape.
        dtype: The name of its type in Keras.
    """

    value: Any
    shape: tuple[int, ...]
    dtype: str


_Where = tuple[object, ...]
"""The keys and indices that lead to a value."""


class UnpackableError(TypeError):
    """A block cannot hold a value; the message says where the value is."""


class TrainingBlock:
    """A tree of values that is ready to be written.

    Attributes:
        size: Its size in bytes.
    """

    def __init__(self, tree: Any) -> None:
        """Lay out a tree of None, booleans, integers, floats, strings, bytes, lists, tuples, dicts, arrays and tensors.

        Raises:
            UnpackableError: It holds something else.
        """
        self._arrays: list[Any] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        plain = self._plain(tree, ())
        places = list(self._places())
        listed = [
            {"dtype": _dtype(array), "shape": list(array.shape), "offset": at}
            for array, at in zip(self._arrays, places, strict=True)
        ]
        text = json.dumps({"version": VERSION, "tree": plain, "arrays": listed}, allow_nan=False).encode()
        try:
            _json.check_extent(text, _json.LONGEST)
        except ValueError as error:
            raise UnpackableError(f"it could not be read back: {error}") from error
        self._start = _aligned(_HEAD + len(text))
        self._head = len(text).to_bytes(_HEAD, "little") + text
        self._offsets = [self._start + at for at in places]
        self.size = self._start + (places[-1] + _nbytes(self._arrays[-1]) if places else 0)

    @property
    def capacity(self) -> int:
        """The number of bytes to reserve, so that the block can grow from save to save without a new layout."""
        return max(_SMALLEST, 1 << math.ceil(math.log2(self.size * 5 / 4)))

    def write_into(self, memory: npt.NDArray[np.uint8], copy: Copy) -> None:
        """Write the block to ``memory``, which is at least as long, and fill the rest with zeros.

        Args:
            memory: The destination.
            copy: Copies tensors of a backend into arrays.
        """
        memory[: len(self._head)] = np.frombuffer(self._head, np.uint8)
        memory[len(self._head) : self._start] = 0
        end = self._start
        destinations = []
        for array, offset in zip(self._arrays, self._offsets, strict=True):
            memory[end:offset] = 0
            end = offset + _nbytes(array)
            destinations.append(memory[offset:end].view(_memory_dtype(array)).reshape(array.shape))
        memory[end:] = 0
        copy([array.value if isinstance(array, Tensor) else array for array in self._arrays], destinations)

    def to_bytes(self, copy: Copy) -> bytes:
        """Return the block."""
        memory = np.empty(self.size, np.uint8)
        self.write_into(memory, copy)
        return memory.tobytes()

    def _places(self) -> Iterator[int]:
        at = 0
        for array in self._arrays:
            yield at
            at = _aligned(at + _nbytes(array))

    def _plain(self, value: Any, where: _Where) -> Any:
        """Return ``value`` in a form that JSON can express, and collect its arrays."""
        kind = type(value)
        if value is None or kind is str or kind is int or kind is bool:  # the most common types
            return value
        if len(where) > _DEEPEST:
            raise UnpackableError(f"{_text(where)} is nested too deep")
        if isinstance(value, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$": "float", "value": _name_of(value)}
        if isinstance(value, list):
            return [self._plain(item, (*where, i)) for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"$": "tuple", "items": [self._plain(item, (*where, i)) for i, item in enumerate(value)]}
        if isinstance(value, dict):
            if all(isinstance(key, str) and key != "$" for key in value):
                return {key: self._plain(item, (*where, key)) for key, item in value.items()}
            pairs = [[self._plain(k, (*where, "a key")), self._plain(v, (*where, k))] for k, v in value.items()]
            return {"$": "dict", "items": pairs}
        if isinstance(value, bytes):
            return {"$": "bytes", "index": self._index(np.frombuffer(value, np.uint8))}
        if isinstance(value, np.generic):
            return {"$": "scalar", "index": self._index(np.asarray(value), where)}
        if isinstance(value, np.ndarray | Tensor):
            return {"$": "array", "index": self._index(value, where)}
        of_torch = torch_values.described(value)
        if of_torch is not None:
            return {"$": "tensor", "index": self._index(Tensor(*of_torch), where)}
        raise UnpackableError(f"{_text(where)} is of type {kind.__qualname__}")

    def _index(self, array: Any, where: _Where = ()) -> int:
        """Return the array's index in the list; small arrays with the same contents share one index."""
        if isinstance(array, np.ndarray):
            if array.dtype.kind not in _KINDS and array.dtype.name not in _UNNAMED:
                raise UnpackableError(f"{_text(where)} is an array of type {array.dtype}")
            array = np.ascontiguousarray(array).reshape(array.shape)
            if array.nbytes <= _WORTH_COMPARING:
                key = (str(array.dtype), array.shape, array.tobytes())
                if key in self._known:
                    return self._known[key]
                self._known[key] = len(self._arrays)
        self._arrays.append(array)
        return len(self._arrays) - 1


def _text(where: _Where) -> str:
    """Return the path of a value, for error messages."""
    return "".join(f"/{key}" for key in where) or "it"


Training = Callable[[Sequence[Any]], TrainingBlock]
"""Returns the training state, given the variables that are not saved as weights or optimizer state."""


def read_block(content: bytes | memoryview) -> Any:
    """Return the tree that a block holds.

    Raises:
        ValueError: It is damaged, or this version of lastgood does not know its version.
    """
    content = memoryview(content)
    length = int.from_bytes(content[:_HEAD], "little")
    if _HEAD + length > len(content):
        raise ValueError("the training state is truncated")
    if length > _json.LONGEST:
        raise ValueError("the training state is too long")
    start = _aligned(_HEAD + length)
    try:
        values = _json.read(bytes(content[_HEAD : _HEAD + length]), _json.LONGEST)
        if values["version"] == VERSION:
            return _Reader(content[start:], values["arrays"]).value(values["tree"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the training state is damaged: {error}") from error
    raise ValueError("the training state has a version that this lastgood does not know; upgrade lastgood")


class _Reader:
    """A reader that makes the tree from plain JSON and the arrays that it refers to."""

    def __init__(self, content: memoryview, entries: Sequence[dict[str, Any]]) -> None:
        """Check the extents of all arrays before allocating memory for any of them, and read the arrays."""
        described = [_describe(entry) for entry in entries]
        spans = sorted((offset, offset + size) for _, _, offset, size in described if size)
        if any(a[1] > b[0] for a, b in pairwise([(0, 0), *spans, (len(content), len(content))])):
            raise ValueError("an array of the training state overlaps another or ends outside the block")
        self._arrays = [
            np.frombuffer(content[offset : offset + size], dtype).reshape(shape).copy()
            for dtype, shape, offset, size in described
        ]
        self._bytes: dict[int, bytes] = {}

    def value(self, plain: Any) -> Any:
        """Return the value that a part of the tree represents."""
        if isinstance(plain, list):
            return [self.value(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        kind = plain.get("$")
        if kind is None:
            return {key: self.value(item) for key, item in plain.items()}
        if kind == "float":
            return _NON_FINITE[plain["value"]]
        if kind == "tuple":
            return tuple(self.value(item) for item in plain["items"])
        if kind == "dict":
            return {self.value(key): self.value(item) for key, item in plain["items"]}
        return self._of_array(kind, plain["index"])

    def _of_array(self, kind: Any, index: Any) -> Any:
        """Return a value that is stored as an array; references to the same bytes return the same object."""
        array = self._arrays[index]
        if kind == "array":
            return array
        if kind == "scalar":
            return array[()]
        if kind == "tensor":
            return torch_values.made(array)
        if kind != "bytes":
            raise ValueError(f"it has an object of the unknown kind {kind!r}")
        if index not in self._bytes:
            self._bytes[index] = array.tobytes()
        return self._bytes[index]


def _describe(entry: dict[str, Any]) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """Return an array's type, shape, offset and length in bytes; raise ValueError if an array cannot have them."""
    dtype, shape, offset = np.dtype(entry["dtype"][:_LONGEST_NAME]), tuple(entry["shape"]), entry["offset"]
    if dtype.kind not in _KINDS and dtype.name not in _UNNAMED:
        raise ValueError(f"an array of the training state is of type {dtype}")
    if any(type(number) is not int or number < 0 for number in (*shape, offset)):
        raise ValueError("an array of the training state has an invalid shape or offset")
    return dtype, shape, offset, math.prod(shape) * dtype.itemsize


def _aligned(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED


def _nbytes(array: Any) -> int:
    return math.prod(map(int, array.shape)) * _memory_dtype(array).itemsize


def _dtype(array: Any) -> str:
    return array.dtype if isinstance(array, Tensor) else str(array.dtype.name)


def _memory_dtype(array: Any) -> np.dtype[Any]:
    """Return the NumPy type of an array in memory; integers stand for a type that NumPy does not have."""
    return np.dtype(_UNNAMED.get(_dtype(array), _dtype(array)))


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
