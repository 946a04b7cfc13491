"""Measure what saves cost ``fit()`` in pairs: steps that begin with a save, beside as many steps without one.

All contenders take turns in one call of ``fit()``. A save's stretch of steps lasts until its background work has ended,
so that what slows the steps down is counted, too. A machine that slows down for a while slows both sides of a pair. If
the steps before and after a save do not take the same time, the machine was not quiet, and the save is repeated.
"""

import os
import threading
import time
from dataclasses import dataclass, field
from itertools import count

import keras
import numpy as np
import workloads

QUIET = 0.1  # the largest relative difference between the steps before and after a save
ATTEMPTS = 3  # of a save; the last one counts, and the results say how many of those were not quiet


@dataclass
class Stretch:
    """Consecutive training steps: their number, and the wall-clock and the CPU seconds of this process."""

    steps: int
    seconds: np.ndarray


@dataclass
class Costs:
    """What the saves of one contender cost, in seconds each: in ``fit()``, of CPU, and in the callback's hook."""

    fit: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    hook: list[float] = field(default_factory=list)


class Turns(keras.callbacks.Callback):
    """Calls the callbacks of all contenders in turn, and stops training after the last save.

    Attributes:
        costs: The costs of each contender, by its name.
        step: The seconds of a training step in each stretch without a save.
        repeated: The number of saves that were repeated because the machine was not quiet.
        noisy: The number of saves that count although it was not quiet.
    """

    def __init__(self, callbacks, pairs, least):
        super().__init__()
        self.costs = {contender.name: Costs() for contender in callbacks}
        self.step, self.repeated, self.noisy = [], 0, 0
        self._callbacks, self._least = callbacks, least
        self._script = self._run(pairs)

    def set_model(self, model):
        super().set_model(model)
        for callback in self._callbacks.values():
            callback.set_model(model)

    def set_params(self, params):
        super().set_params(params)
        for callback in self._callbacks.values():
            callback.set_params(params)

    def on_train_begin(self, logs=None):
        for callback in self._callbacks.values():
            callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        for callback in self._callbacks.values():
            callback.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._given = batch, logs
        if next(self._script, "ended") == "ended":
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for callback in self._callbacks.values():
            callback.on_train_end(logs)

    def _run(self, pairs):
        """Take the turns; each ``yield`` is a training step."""
        for contender in self._callbacks:  # the first saves, which also allocate, do not count
            yield from self._save(contender)
        plain, order = (yield from self._stretch()), list(self._callbacks)
        for _ in range(pairs):
            for contender in order:
                plain = yield from self._pair(contender, plain)
            order = [*order[1:], order[0]]  # so that none always follows the same one

    def _pair(self, contender, before):
        """Save after the stretch ``before``; return the stretch after the save."""
        for attempt in range(ATTEMPTS):
            saving, hook = yield from self._save(contender)
            after = yield from self._stretch()
            plain = [each.seconds / each.steps for each in (before, after)]
            quiet = abs(plain[0][0] - plain[1][0]) <= QUIET * min(plain[0][0], plain[1][0])
            if quiet or attempt == ATTEMPTS - 1:
                break
            self.repeated += 1
            before = after
        self.noisy += not quiet
        self.step += [seconds[0] for seconds in plain]
        fit, cpu = saving.seconds - saving.steps * (plain[0] + plain[1]) / 2
        costs = self.costs[contender.name]
        costs.fit.append(fit)
        costs.cpu.append(cpu)
        costs.hook.append(hook)
        return after

    def _save(self, contender):
        """Save, and train until the save has ended; return that stretch and the seconds in the callback's hook."""
        began, callback = _now(), self._callbacks[contender]
        callback.on_train_batch_end(*self._given)
        hook = (_now() - began)[0]
        waiting = threading.Thread(target=contender.wait, args=[callback])
        waiting.start()
        saving = yield from self._stretch(began, lambda: not waiting.is_alive())
        os.sync()  # so that the next steps without a save do not share the machine with the kernel's writes
        yield
        return saving, hook

    def _stretch(self, began=None, is_over=lambda: True):
        """Let training go on for some steps at least, and until ``is_over()``."""
        began, steps = _now() if began is None else began, 0
        while steps < self._least or not is_over():
            yield
            steps += 1
        return Stretch(steps, _now() - began)


def _now():
    return np.array([time.perf_counter(), time.process_time()])


def measure(model, width, chosen, pairs, least, directory):
    """Train; return the :class:`Turns` of ``pairs`` saves of each contender.

    Args:
        model: The model.
        width: The width of its input.
        chosen: The contenders.
        pairs: How many saves of each contender count.
        least: The least number of training steps in a stretch.
        directory: A ``Path``; each contender saves in a directory of its own in it.
    """
    callbacks = {}
    for number, contender in enumerate(chosen):
        path = directory / str(number) / contender.path
        path.parent.mkdir(parents=True)
        callbacks[contender] = contender.callback(path, 1)
    turns = Turns(callbacks, pairs, least)
    x, _ = workloads.batches(width, 1)
    model.fit(((x, x) for _ in count()), steps_per_epoch=10**9, verbose=0, callbacks=[turns])
    return turns
