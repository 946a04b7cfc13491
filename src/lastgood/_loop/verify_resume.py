"""A check that a training resumes exactly: a few steps with and without an interruption are compared."""

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
"""An epoch and a batch in it, both counted from 0."""
Steps = dict[Place, list[tuple[str, int]]]
"""The path and digest of each variable in order, by place."""


class _EndError(Exception):
    """Ends a training at the requested place."""


class _Watch(Hooks):
    """Hooks that note the digest of every variable after every batch, and end training after the last one requested.

    Places identify the batches, not an optimizer's counter: a model may have several optimizers, or leave one unused.
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
    """Check that your training resumes exactly, to the last bit, when it is interrupted and restarted.

    It runs three times: without interruption; interrupted; and as the restart, which continues from the checkpoint.

    >>> def train(callbacks):
    ...     keras.utils.set_random_seed(0)
    ...     model = build_model()
    ...     model.fit(x, y, epochs=2, callbacks=[*callbacks, *my_own_callbacks])
    >>> lastgood.verify_resume(train)  # doctest: +SKIP
    The training resumes exactly: 12 steps, interrupted after 6, are bit-equal.

    Args:
        train: A function that does what your script does: it makes the data, builds and compiles a model with an
            optimizer, and calls ``fit`` with the callbacks that it is given, followed by its own.
        steps: How many batches to compare; pass more than an epoch has to compare across its end.
        interrupt_after: The batch to interrupt training after; the middle by default.

    Raises:
        NotExactError: An AssertionError: it does not; the message names the first step and variable that differ.
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
    print(f"The training resumes exactly: {len(whole)} steps, interrupted after {middle}, are bit-equal.")


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
                f"There is a batch {batch + 1} of epoch {epoch + 1} {when}, but not in the uninterrupted training."
            )
        there, again = whole[place], other[place]  # a rebuilt model has other names
        wrong = [
            path
            for (path, digest), (_, other_digest) in zip_longest(there, again, fillvalue=("nothing", 0))
            if digest != other_digest
        ]
        if wrong:
            raise NotExactError(
                f"Step {numbers[place]} differs {when}. First of {len(wrong)} differing variables: '{wrong[0]}'."
            )
