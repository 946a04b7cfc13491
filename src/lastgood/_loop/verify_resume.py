"""Does a training go on exactly? It is run for a few steps with an interruption and without, and compared."""

import contextlib
import zlib
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np

from .._callback import model_checkpoint
from .._errors import NotExactError
from .._keras import Hooks, adapt, as_callback, default_generation
from .._state import randomness
from .._storage import scratch_directory

Train = Callable[[list[Any]], object]
Place = tuple[int, int]
"""An epoch and a batch of it, counted from 0."""
Steps = dict[Place, list[tuple[str, int]]]
"""By place, in order: each variable's path and digest."""


class _EndError(Exception):
    """Ends a training where it was to end."""


class _Watch(Hooks):
    """Notes the digest of every variable after every batch, and ends training after the last that is wanted.

    Places tell the batches apart, and no counter of an optimizer: a model may have several, or leave one unused.
    """

    def __init__(self, count: int | None, last: Place | None) -> None:
        super().__init__()
        self.seen: Steps = {}
        self._count = count
        self._last = last
        self._epoch = 0
        self._done = 0
        self._before = -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del logs
        self._epoch, self._before = epoch, -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del logs
        adapter = adapt(self.model)
        self._done += batch - self._before  # with steps_per_execution, several
        self._before = batch
        self.seen[self._epoch, batch] = [
            (adapter.path_of(variable), zlib.crc32(np.ascontiguousarray(adapter.to_numpy(variable)).tobytes()))
            for variable in adapter.state_variables()
        ]
        place = (self._epoch, batch)
        if (self._count and self._done >= self._count) or (self._last and place >= self._last):
            raise _EndError


def verify_resume(train: Train, *, steps: int = 12, interrupt_after: int | None = None) -> None:
    """Check that a training of yours, interrupted and started again, goes on to the last bit.

    It is run three times: as it is; interrupted; and once more, as the restart, which goes on from the checkpoint.

    >>> def train(callbacks):
    ...     keras.utils.set_random_seed(0)
    ...     model = build_model()
    ...     model.fit(x, y, epochs=2, callbacks=[*callbacks, *my_own_callbacks])
    >>> lastgood.verify_resume(train)  # doctest: +SKIP
    The training goes on exactly: 12 steps, interrupted after 6, are bit-equal.

    Args:
        train: Does what a script of yours does: makes the data, builds and compiles a model with an optimizer, and
            calls ``fit`` with the callbacks that it is given, and its own behind them.
        steps: How many batches to compare; take more than an epoch has, to compare over its end.
        interrupt_after: The batch to interrupt it after; the middle by default.

    Raises:
        NotExactError: An AssertionError: it does not; names the first step and variable that differ.
    """
    middle = steps // 2 if interrupt_after is None else interrupt_after
    before = randomness.capture()
    generation = default_generation()
    checkpoint_class = model_checkpoint(generation)
    with scratch_directory() as directory:

        def run(name: str, *, count: int | None = None, last: Place | None = None) -> Steps:
            randomness.put_back(before)
            watch = as_callback(_Watch, generation)(count, last)
            checkpoint = checkpoint_class(directory / name / "{epoch}-{batch}.keras", save_freq=1, resume=True)
            with contextlib.suppress(_EndError):
                train([checkpoint, watch])
            checkpoint.wait()
            seen: Steps = watch.seen
            return seen

        whole = run("whole", count=steps)
        first, second = run("cut", count=middle), run("cut", last=max(whole, default=(0, 0)))
    _compare(whole, first, "in a second run, before any interruption: the training itself is not deterministic")
    _compare(whole, second, f"after the restart at step {middle}")
    print(f"The training goes on exactly: {len(whole)} steps, interrupted after {middle}, are bit-equal.")


def _compare(whole: Steps, other: Steps, when: str) -> None:
    if not other:
        raise NotExactError(
            f"There is nothing to compare {when}: the training had no steps there. It has {len(whole)} in all; pass "
            "a smaller `interrupt_after`, and let train() pass its callbacks to fit()."
        )
    numbers = {place: number for number, place in enumerate(sorted(whole), 1)}
    for place in sorted(other):
        if place not in whole:
            epoch, batch = place
            raise NotExactError(
                f"There is a batch {batch + 1} of epoch {epoch + 1} {when}, which the training as it is has not."
            )
        there, again = whole[place], other[place]  # a model that is built again has other names
        wrong = [
            path
            for (path, digest), (_, other_digest) in zip_longest(there, again, fillvalue=("nothing", 0))
            if digest != other_digest
        ]
        if wrong:
            raise NotExactError(f"Step {numbers[place]} differs {when}. First variable of {len(wrong)}: '{wrong[0]}'.")
