"""Batches that were computed before a restart: drawn again to reach the next one, but not computed again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._keras import FitAdapter, ModelAdapter


@dataclass
class DrawnBatches:
    """A replacement for the training step that draws batches and computes nothing.

    Attributes:
        fit: The ``fit``.
        adapter: The model that it trains.
        skipped: How many batches earlier epochs drew from the iterator.
        logs: The logs that each step returns.
        last: The batch that was drawn last; None if none was.
    """

    fit: FitAdapter
    adapter: ModelAdapter
    skipped: int
    logs: dict[str, Any]
    last: Any = None

    def step(self, *arguments: Any) -> Any:
        """Draw the batches of one training step, whose arguments depend on the backend, and compute nothing."""
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
        """Skip the batches that earlier epochs drew from an iterator that spans them, and compute the next one."""
        if self.adapter.backend() == "torch":
            batch = self.fit.skip(self.fit.current_iterator, self.skipped)
            then()
            return compute([batch])
        self.fit.skip(arguments[-1], self.skipped)
        then()
        return compute(*arguments)
