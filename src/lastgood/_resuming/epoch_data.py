"""Where the batches of the current epoch come from, so that a restart can draw the same ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from .._keras import FitAdapter
from .._state import randomness, source
from .._state.origin import Origin
from .._state.positions import Positions


class EpochData:
    """Follows the data of a ``fit`` from its first epoch on.

    Attributes:
        iterators: Iterators of the data that have been started; those before a restart are counted in.
        positions: Its positions; None if the data cannot be set to one.
    """

    def __init__(self, fit: FitAdapter) -> None:
        """Begin before the first epoch."""
        self.iterators = 0
        self.positions: Positions | None = None
        self._fit = fit
        self._epoch: int | None = None
        self._origin: Origin | None = None
        self._given: Mapping[str, Any] | None = None
        self._generators: list[Any] = []
        if Positions.are_known(fit.kind, fit.source):
            self.positions = Positions(fit.source)
            fit.note_batches(self.positions.note)
        fit.before_making = self._note_generators

    def _note_generators(self) -> None:
        self._generators = source.generator_states(self._fit.source)

    def begin_epoch(self, epoch: int, resumed: Origin | None = None) -> bool:
        """Note where an epoch's batches begin, when the first of our callbacks says so; return whether it was noted.

        Args:
            epoch: The epoch, counted from 0.
            resumed: The origin of an epoch that a restart continues.
        """
        if epoch == self._epoch:
            return False
        self._epoch = epoch
        if resumed is not None:
            self._origin = resumed
        elif self._origin is not None and self._fit.spans_epochs:
            self._origin = replace(self._origin, drawn=self._origin.drawn + (self._fit.batches or 0))
            return True
        else:
            self._origin = self._here(begun=True)
        self.iterators += 1
        return True

    @contextmanager
    def at(self, position: Mapping[str, Any]) -> Iterator[None]:
        """Have saves in this block continue from the position of an earlier one."""
        self._given = position
        try:
            yield
        finally:
            self._given = None

    def position(self, epoch: int, batch: int | None) -> Mapping[str, Any]:
        """Return where training continues: an epoch, the batches of it that are done, and how to come to the next.

        Args:
            epoch: The epoch, counted from 0.
            batch: Batches done in it; None at its end.
        """
        if self._given is not None:
            return self._given
        origin = self._origin or self._here(begun=False)
        if batch is None:
            spans, drawn = self._fit.spans_epochs, origin.drawn + (self._fit.batches or 0)
            origin = replace(origin, drawn=drawn) if spans else self._here(begun=False)
        drawn = origin.drawn + (batch or 0)
        return {
            "epoch": epoch + (batch is None),
            "batch": batch or 0,
            "steps_at_once": self._fit.steps_at_once,
            "source": self.positions.after(drawn) if drawn and self.positions else None,
            "origin": {each.name: getattr(origin, each.name) for each in fields(origin)},
        }

    def _here(self, *, begun: bool) -> Origin:
        """Return where an epoch that begins now, or has just done so, draws its batches from."""
        fit = self._fit
        ahead = fit.has_made_ahead(begun=begun)  # some draw from their generators when an iterator is made
        generators = self._generators if ahead else source.generator_states(fit.source)
        iterators = self.iterators if fit.iterators is None else fit.iterators
        held = source.capture(fit.source, generators)
        return Origin(randomness.capture(), iterators, held, ahead, passes=fit.passes)
