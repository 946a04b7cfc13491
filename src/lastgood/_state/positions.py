"""Positions in datasets that can be set to one after a restart, so that no batch is read twice.

These are torchdata's ``StatefulDataLoader``, which reports the position of its iterator (``state_dict``,
``load_state_dict``), and the datasets of grain, whose iterators report their own (``get_state``, ``set_state``).
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

from .._bytes.training_block import TrainingBlock, UnpackableError

_REMEMBERED = 4  # on jax, Keras draws ahead: one batch on an accelerator, two in Keras 3.12


class _Loader(Protocol):
    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> None: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class _Start:
    """The state in which an iterator begins, and the number of batches before it."""

    state: Any = None
    count: int = 0


class Positions:
    """The positions after the batches that were drawn last."""

    def __init__(self, source: Any) -> None:
        """Take the dataset that the user passed to ``fit``."""
        loader = all(callable(getattr(source, name, None)) for name in ("state_dict", "load_state_dict"))
        self._loader: _Loader | None = source if loader else None
        self._latest: deque[tuple[int, Any]] = deque(maxlen=_REMEMBERED)
        self._start = _Start()

    @staticmethod
    def are_known(kind: str, source: Any) -> bool:
        """Return True if a dataset of this kind reports its position."""
        return kind == "grain" or (kind == "DataLoader" and Positions(source)._loader is not None)

    def after(self, count: int) -> Any:
        """Return the state after ``count`` batches of the current iterator; None if unknown or not packable."""
        state = next((_plain(state) for at, state in self._latest if at == count), None)
        try:
            TrainingBlock(state)
        except UnpackableError:
            return None
        return state

    def begin_after(self, count: int, state: Any) -> None:
        """Make the next iterator begin in a state from :meth:`after`; it yields an empty batch for each one before."""
        self._start = _Start(_from_plain(state), count)

    def note(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Return batches whose positions are noted: an iterator for an iterator, else a reusable iterable."""
        return self.iterate(batches) if isinstance(batches, Iterator) else _Noted(self, batches)

    def iterate(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Create an iterator at once, not at its first batch: on torch, that alone takes a random number."""
        start, self._start = self._start, _Start()
        if start.state is not None and self._loader is not None:
            self._loader.load_state_dict(start.state)
            if start.count >= _length(self._loader):  # no batch is left; iter() uses up the state
                iter(self._loader)
                return iter([()] * start.count)
        iterator: Any = iter(batches)
        if start.state is not None and self._loader is None:
            iterator.set_state(start.state)
        return self._drawn(iterator, start)

    def _drawn(self, iterator: Any, start: _Start) -> Iterator[Any]:
        yield from repeat((), start.count)
        for count, batch in enumerate(iterator, start.count + 1):
            self._latest.append((count, self._state(iterator)))
            yield batch

    def _state(self, iterator: Any) -> Any:
        """Return the position; None if the dataset's code fails: a restart then draws the batches again."""
        try:
            return iterator.get_state() if self._loader is None else self._loader.state_dict()
        except Exception:  # noqa: BLE001 - the dataset's own code; training has its batch anyway
            return None


def _length(loader: Any) -> float:
    """Return how many batches a loader has; infinity if it does not know."""
    try:
        return len(loader)
    except TypeError:
        return math.inf


@dataclass(frozen=True)
class _Noted:
    """Batches whose positions are noted while they are drawn."""

    positions: Positions
    batches: Iterable[Any]

    def __iter__(self) -> Iterator[Any]:
        return self.positions.iterate(self.batches)


def _plain(state: Any) -> Any:
    """Return a state with torch's tensors as arrays, each marked as a tensor."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_plain, state))
    return {"torch": state.numpy()} if type(state).__module__ == "torch" and hasattr(state, "numpy") else state


def _from_plain(state: Any) -> Any:
    if isinstance(state, dict) and state.keys() == {"torch"}:
        import torch

        return torch.from_numpy(state["torch"].copy())
    if isinstance(state, dict):
        return {key: _from_plain(value) for key, value in state.items()}
    return type(state)(map(_from_plain, state)) if isinstance(state, list | tuple) else state
