"""The contenders: how each saves, and how training resumes from what it left."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lastgood
from helpers import counting
from helpers.kit import keras

NAMES = {"new": "{epoch:02d}", "overwrite": "m"}
ENDINGS = {".keras": ".keras", ".weights.h5": ".weights.h5", "directory": "", "TensorFlow checkpoint": ".ckpt"}
WEIGHTS_ONLY = (".weights.h5", ".ckpt")


@dataclass(frozen=True)
class Contender:
    """One way to save.

    Attributes:
        make: Makes its callback, from a directory, a naming, whether it saves in the background, and ``on_error``.
        finish: Waits until the callback has finished its saves; returns whether they are durable.
        resume: Trains a new model to an epoch, from what is there, with a watching callback.
        takes: Returns whether a name in the directory is a checkpoint's.
    """

    make: Callable[..., Any]
    finish: Callable[[Any], bool]
    resume: Callable[..., None]
    takes: Callable[[str], bool]


def value_of(path, sizes):
    """Return the step of a checkpoint, as stock Keras loads it."""
    if path.name.endswith(WEIGHTS_ONLY):
        return counting.steps_in(path, *sizes)
    return counting.steps_of(keras.models.load_model(path), path)


def _takes(ending, name):
    return re.fullmatch(rf"(\d\d|m){re.escape(ending)}", name) is not None


def _ours(ending, directory, naming, background=True, on_error="raise"):
    return lastgood.ModelCheckpoint(
        directory / (NAMES[naming] + ending),
        save_weights_only=ending in WEIGHTS_ONLY,
        background=background,
        on_error=on_error,
        resume=True,
        keep_last=2 if naming == "new" else None,
    )


def _our_finish(callback):
    before = getattr(callback, "seen", 0)
    callback.wait()
    callback.seen = len(callback.stats)
    return callback.seen > before


def _our_resume(ending, directory, naming, model, fit):
    fit(model, _ours(ending, directory, naming))


def _stock(ending, directory, naming, **_):
    weights_only = ending == ".weights.h5"
    return keras.callbacks.ModelCheckpoint(directory / (NAMES[naming] + ending), save_weights_only=weights_only)


def _stock_resume(ending, directory, naming, model, fit):
    """Load the newest by its name, as a script has to that resumes by itself."""
    newest = max((path for path in directory.iterdir() if _takes(ending, path.name)), key=lambda path: path.name)
    if ending == ".weights.h5":
        model.load_weights(newest)
    else:
        loaded = keras.models.load_model(newest)
        model.set_weights(loaded.get_weights())
        model.optimizer.iterations.assign(loaded.optimizer.iterations)
    fit(model, None)


def _backup(directory, naming, **_):
    del naming
    return keras.callbacks.BackupAndRestore(directory / "backup", delete_checkpoint=False)


def _backup_resume(directory, naming, model, fit):
    fit(model, _backup(directory, naming))


def _orbax(directory, naming, **_):
    return keras.callbacks.OrbaxCheckpoint(directory, max_to_keep=1 if naming == "overwrite" else None)


def _orbax_finish(callback):
    callback.wait_until_finished()
    return True


def _orbax_resume(directory, naming, model, fit):
    del naming
    model.load_weights(directory)
    fit(model, None)


def _at_once(callback):
    del callback
    return True


OURS = {
    f"lastgood {name}": Contender(
        partial(_ours, ending), _our_finish, partial(_our_resume, ending), partial(_takes, ending)
    )
    for name, ending in ENDINGS.items()
}
PEERS = {
    **{
        f"ModelCheckpoint {ending}": Contender(
            partial(_stock, ending), _at_once, partial(_stock_resume, ending), partial(_takes, ending)
        )
        for ending in (".keras", ".weights.h5")
    },
    "BackupAndRestore": Contender(_backup, _at_once, _backup_resume, lambda name: False),
    "OrbaxCheckpoint": Contender(_orbax, _orbax_finish, _orbax_resume, lambda name: False),
}
CONTENDERS = OURS | PEERS


def checkpoints(contender, directory):
    """Return the paths of a contender's visible checkpoints; a group of files counts by its index."""
    paths = [path.with_suffix("") if path.suffix == ".index" else path for path in Path(directory).iterdir()]
    return sorted(path for path in paths if contender.takes(path.name))
