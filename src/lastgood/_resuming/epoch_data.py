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
    """The data of a ``fit``, followed from its first epoch.

    Attributes:
        iterators: How many iterators over the data have been started, including those before a restart.
        positions: The positions in the data; None if the data cannot be set to one.
    """

    def __init__(self, fit: FitAdapter) -> None:
        """Start before the first epoch."""
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
        """Note where an epoch's batches begin; return False if another lastgood callback has already noted it.

        Args:
            epoch: The epoch, counted from 0.
            resumed: The saved origin, if a restart continues this epoch.
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
        """Give all saves in this block the position of an earlier one."""
        self._given = position
        try:
            yield
        finally:
            self._given = None

    def position(self, epoch: int, batch: int | None) -> Mapping[str, Any]:
        """Return where training continues: the epoch, the batches done in it, and how to reach the next one.

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
            "batches": self._fit.batches,
            "steps_at_once": self._fit.steps_at_once,
            "source": self.positions.after(drawn) if drawn and self.positions else None,
            "origin": {each.name: getattr(origin, each.name) for each in fields(origin)},
        }

    def _here(self, *, begun: bool) -> Origin:
        """Return the origin of the batches of an epoch that has just begun or, if not ``begun``, is about to begin."""
        fit = self._fit
        ahead = fit.has_made_ahead(begun=begun)  # creating an iterator may use the generators
        generators = self._generators if ahead else source.generator_states(fit.source)
        iterators = self.iterators if fit.iterators is None else fit.iterators
        held = source.capture(fit.source, generators)
        return Origin(randomness.capture(), iterators, held, ahead, passes=fit.passes)
