"""Batches that were computed before a restart: drawn, so that the next one is the right one, and not computed again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._keras import FitAdapter, ModelAdapter


@dataclass
class DrawnBatches:
    """What stands in for the training step meanwhile.

    Attributes:
        fit: The ``fit``.
        adapter: The model that it trains.
        skipped: How many batches earlier epochs have used of the iterator.
        logs: What a step returns.
        last: The batch that was drawn last; None where there was none.
    """

    fit: FitAdapter
    adapter: ModelAdapter
    skipped: int
    logs: dict[str, Any]
    last: Any = None

    def step(self, *arguments: Any) -> Any:
        """Do as a training step does, with whatever this backend hands to it, and compute nothing."""
        backend = self.adapter.backend()
        iterator = self.fit.current_iterator if backend == "torch" else arguments[-1]
        skipped, self.skipped = self.skipped, 0
        self.fit.skip(iterator, skipped)
        if backend == "torch":
            self.last = arguments[0][0]
            return self.logs
        self.last = next(iterator)
        for _ in range(self.fit.batches_of_step(self.adapter.model) - 1):
            self.last = next(iterator, self.last)
        return (self.logs, arguments[0]) if backend == "jax" else self.logs

    def step_after_skipping(self, compute: Callable[..., Any], then: Callable[[], None], *arguments: Any) -> Any:
        """Draw what earlier epochs have used of an iterator that spans them, and compute the first batch behind it."""
        if self.adapter.backend() == "torch":
            batch = self.fit.skip(self.fit.current_iterator, self.skipped)
            then()
            return compute([batch])
        self.fit.skip(arguments[-1], self.skipped)
        then()
        return compute(*arguments)
