"""The parts of an array that lies on several devices, of which each process has some."""

from typing import Any, NamedTuple

import numpy.typing as npt


class Part(NamedTuple):
    """A part of an array of jax.

    Attributes:
        starts: Where it begins, along each axis.
        tensor: Its values, an array on one device.
    """

    starts: tuple[int, ...]
    tensor: Any

    def place_in(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return its place in memory of the whole array."""
        ends = map(sum, zip(self.starts, self.tensor.shape, strict=True))
        place: npt.NDArray[Any] = array[tuple(map(slice, self.starts, ends))]
        return place


def own_parts(tensor: Any) -> list[Part]:
    """Return the parts of an array of jax that this process is to save: all processes together, each part once."""
    shards = [shard for shard in tensor.addressable_shards if shard.replica_id == 0]
    return [Part(tuple(along.start or 0 for along in shard.index), shard.data) for shard in shards]


def is_in_parts(tensor: Any) -> bool:
    """Return True if no device has all of an array."""
    return not getattr(tensor, "is_fully_replicated", True)
