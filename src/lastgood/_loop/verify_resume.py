"""Does a training go on exactly? It is run for a few steps with an interruption and without, and compared."""

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .._callback import model_checkpoint
from .._errors import NotExactError
from .._keras import Hooks, adapt, as_callback, default_generation
from .._state import randomness
from .._storage import scratch_directory

Train = Callable[[list[Any]], object]
Steps = dict[int, list[tuple[str, int]]]
"""By step of the optimizer: each variable's path and digest."""


class _EndError(Exception):
    """Ends a training where it was to end."""


class _Watch(Hooks):
    """Notes the digest of every variable at every step, and ends training after the last that is wanted."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.seen: Steps = {}
        self._last = last

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        adapter = adapt(self.model)
        step = adapter.iterations() or 0
        self.seen[step] = [
            (adapter.path_of(variable), zlib.crc32(np.ascontiguousarray(adapter.to_numpy(variable)).tobytes()))
            for variable in adapter.state_variables()
        ]
        if step >= self._last:
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
        steps: How many steps of the optimizer to compare; take more than an epoch has, to compare over its end.
        interrupt_after: The step to interrupt it after; the middle by default.

    Raises:
        NotExactError: An AssertionError: it does not; names the first step and variable that differ.
    """
    middle = steps // 2 if interrupt_after is None else interrupt_after
    before = randomness.capture()
    generation = default_generation()
    checkpoint_class = model_checkpoint(generation)
    with scratch_directory() as directory:

        def run(last: int, name: str) -> Steps:
            randomness.put_back(before)
            watch = as_callback(_Watch, generation)(last)
            checkpoint = checkpoint_class(directory / name / "{epoch}-{batch}.keras", save_freq=1, resume=True)
            with contextlib.suppress(_EndError):
                train([checkpoint, watch])
            checkpoint.wait()
            seen: Steps = watch.seen
            return seen

        whole, first, second = run(steps, "whole"), run(middle, "cut"), run(steps, "cut")
    _compare(whole, first, "in a second run, before any interruption: the training itself is not deterministic")
    _compare(whole, second, f"after the restart at step {middle}")
    compared = max(whole, default=0)
    print(f"The training goes on exactly: {compared} steps, interrupted after {middle}, are bit-equal.")


def _compare(whole: Steps, other: Steps, when: str) -> None:
    if not other:
        raise NotExactError(
            f"There is nothing to compare {when}: the training had no steps there. It has {len(whole)} in all; pass "
            "a smaller `interrupt_after`, and let train() pass its callbacks to fit()."
        )
    for step in sorted(other):
        if step not in whole:
            raise NotExactError(f"There is a step {step} {when}, which the training as it is has not.")
        pairs = zip(whole[step], other[step], strict=True)  # a model that is built again has other names
        wrong = [path for (path, digest), (_, again) in pairs if digest != again]
        if wrong:
            raise NotExactError(f"Step {step} differs {when}. First variable of {len(wrong)}: '{wrong[0]}'.")
