"""The parts of an array that is split over several devices, of which each process has some."""

from typing import Any, NamedTuple

import numpy.typing as npt


class Part(NamedTuple):
    """A part of a jax array.

    Attributes:
        starts: Where it begins, along each axis.
        tensor: Its values, an array on one device.
    """

    starts: tuple[int, ...]
    tensor: Any

    def place_in(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of this part's place in the whole array."""
        ends = map(sum, zip(self.starts, self.tensor.shape, strict=True))
        place: npt.NDArray[Any] = array[tuple(map(slice, self.starts, ends))]
        return place


def own_parts(tensor: Any) -> list[Part]:
    """Return the parts of a jax array that this process saves; all processes together save each part once."""
    shards = [shard for shard in tensor.addressable_shards if shard.replica_id == 0]
    return [Part(tuple(along.start or 0 for along in shard.index), shard.data) for shard in shards]


def shape_of_parts(tensor: Any) -> tuple[int, ...]:
    """Return the shape that all parts of a jax array have; that of the array if it is not split."""
    return tuple(tensor.sharding.shard_shape(tensor.shape)) if is_in_parts(tensor) else tuple(tensor.shape)


def is_in_parts(tensor: Any) -> bool:
    """Return True if no device has the whole array."""
    return not getattr(tensor, "is_fully_replicated", True)
