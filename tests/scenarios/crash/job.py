"""What one attempt does in its process: train with saves, or look at what is left and resume from it.

It reports to its parent through files in a directory without faults, and waits there at gates.
"""

import json
import os
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import lastgood
from helpers import counting
from helpers.kit import keras
from scenarios.crash.contenders import CONTENDERS, checkpoints, value_of
from scenarios.crash.oracle import LAST, TRACED

_X = np.zeros((4, 4), np.float32)


class Control:
    """The channel to the parent, by system calls that no fault affects."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self._said = os.open(self.directory / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(self, name):
        """Report that a place was reached."""
        os.mknod(self.directory / f"{name}.reached")

    def gate(self, name):
        """Report that a place was reached, and wait there until the parent opens it."""
        self.mark(name)
        while not (self.directory / f"{name}.open").exists():
            time.sleep(0.001)

    def say(self, event, **values):
        """Report an event; the parent can read it when this returns, whatever happens next."""
        os.writev(self._said, [json.dumps({"event": event, **values}).encode() + b"\n"])


class Watcher(keras.callbacks.Callback):
    """Follows the callback that saves: stops at gates before a save, and reports the result of each."""

    def __init__(self, control, contender, saving):
        super().__init__()
        self.control, self.contender, self.saving = control, contender, saving

    def on_epoch_begin(self, epoch, logs=None):
        if epoch + 1 == TRACED:
            self.control.gate("before")

    def on_epoch_end(self, epoch, logs=None):
        self.control.say("trained", step=epoch + 1, at=time.monotonic())
        try:
            durable = self.contender.finish(self.saving)
        except OSError as error:
            self.control.say("told", step=epoch + 1, text=str(error))
        else:
            if durable:
                self.control.say("acknowledged", step=epoch + 1, at=time.monotonic())
        if epoch + 1 == TRACED:
            self.control.gate("after")


class Seen(keras.callbacks.Callback):
    """Reports the step and the weights that training resumes with."""

    def __init__(self, control):
        super().__init__()
        self.control = control

    def on_train_batch_begin(self, batch, logs=None):
        if self.control is not None:
            values = sorted(counting.steps_found(self.model), key=str)
            self.control.say("resumed", step=int(self.model.optimizer.iterations), values=values)
            self.control.mark("resumed")
            self.control = None


def train(job, control):
    """Train with a save in each epoch, up to the one after the traced save."""
    contender = CONTENDERS[job["contender"]]
    saving = contender.make(
        Path(job["directory"]), job["naming"], background=job["background"], on_error=job["on_error"]
    )
    model = counting.model(job["numbers"], job["frozen"])
    callbacks = [saving, Watcher(control, contender, saving)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(_X, _X[:, :1], epochs=TRACED + 1, batch_size=4, verbose=0, callbacks=callbacks)
        except OSError as error:
            control.say("told", step=0, text=str(error))
    for each in caught:
        if job["directory"] in str(each.message):
            control.say("told", step=0, text=str(each.message))
    control.say("ended")


def look(job, control):
    """Load all checkpoints with stock Keras, verify them, then resume training; report all results."""
    contender, directory = CONTENDERS[job["contender"]], Path(job["directory"])
    sizes = job["numbers"], job["frozen"]

    def values():
        found = {}
        for path in checkpoints(contender, directory):
            try:
                found[path.name] = value_of(path, sizes)
            except Exception as error:  # noqa: BLE001 - whatever stock Keras raises is what a user gets
                found[path.name] = f"{type(error).__name__}: {error}"[:200]
        return found

    control.say("found", values=values(), problems=[str(p) for p in lastgood.open_run(directory).verify()])
    model = counting.model(*sizes)
    model.set_weights([weight + 77 for weight in model.get_weights()])

    def fit(model, callback):
        members = [Seen(control)] if callback is None else [callback, Seen(control)]
        model.fit(_X, _X[:, :1], epochs=LAST, batch_size=4, verbose=0, callbacks=members)

    control.gate("before")
    contender.resume(directory, job["naming"], model, fit)
    groups = {path.name for path in checkpoints(contender, directory) if not path.exists()}
    strangers = [path.name for path in directory.iterdir() if not _belongs(path.name, contender, groups)]
    control.say("left", strangers=strangers, values=values())


def _belongs(name, contender, groups):
    """Return whether a name in a directory is the run's own, a checkpoint's, or of a checkpoint's group of files."""
    if groups and name == "checkpoint":  # in which TensorFlow records the latest
        return True
    return name == ".lastgood" or contender.takes(name) or any(name.startswith(f"{group}.") for group in groups)


def run(job):
    """Do a job, and end the process at once."""
    control = Control(job["control"])
    try:
        {"train": train, "look": look}[job["what"]](job, control)
    except BaseException as error:  # noqa: BLE001 - the parent judges
        control.say("raised", text=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    os._exit(0)
