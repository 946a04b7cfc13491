"""The contenders: their callbacks, how to wait for their saves, and how to restore their checkpoints."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import lastgood


@dataclass(frozen=True)
class Contender:
    """One way to save.

    Attributes:
        name: Its name in the tables and results.
        path: The path of its checkpoint, relative to the directory of the run.
        callback: Creates its callback, given the path and the number of batches between saves.
        wait: Waits until its background work is done, given the callback.
        restores: Its ways to restore a checkpoint, each with a name. A way takes a model and the path.
    """

    name: str
    path: str
    callback: Callable[[Path, int], Any]
    wait: Callable[[Any], None] = lambda callback: None
    restores: tuple[tuple[str, Callable[[Any, Path], Any]], ...] = ()


def _stock(path, every):
    weights_only = path.name.endswith(".weights.h5")
    return keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only, save_freq=every)


def _ours(weights_only=False, **options):
    def make(path, every):
        # With background="auto", training would wait for each save, because Clock could open the file.
        options.setdefault("background", True)
        return lastgood.ModelCheckpoint(path, save_weights_only=weights_only, save_freq=every, **options)

    return make


def _orbax(path, every):
    return keras.callbacks.OrbaxCheckpoint(path, save_freq=every)


_LOAD_MODEL = ("stock load_model", lambda _, path: keras.models.load_model(path))
_LOAD_WEIGHTS = ("stock load_weights", lambda model, path: model.load_weights(path))
_OURS = ("lastgood.load_weights", lastgood.load_weights)
_OUR_MODEL = ("lastgood.load_model", lambda _, path: lastgood.load_model(path))

MAIN = (
    Contender("stock .keras", "stock/m.keras", _stock, restores=(_LOAD_MODEL,)),
    Contender("stock .weights.h5", "stock/m.weights.h5", _stock, restores=(_LOAD_WEIGHTS,)),
    Contender(
        "OrbaxCheckpoint",
        "orbax",
        _orbax,
        wait=lambda callback: callback.wait_until_finished(),
        restores=(_LOAD_WEIGHTS,),
    ),
    Contender(
        "lastgood .keras", "ours/m.keras", _ours(), lambda callback: callback.wait(), (_LOAD_MODEL, _OUR_MODEL, _OURS)
    ),
    Contender(
        "lastgood .weights.h5",
        "ours/m.weights.h5",
        _ours(weights_only=True),
        lambda callback: callback.wait(),
        (_LOAD_WEIGHTS, _OURS),
    ),
)
# Formats that stock Keras or Orbax writes and lastgood commits. Training waits for most of them.
OTHERS = tuple(
    Contender(f"lastgood {name}", f"ours/{path}", _ours(weights_only), lambda callback: callback.wait(), (_OURS,))
    for name, path, weights_only in (
        (".h5 model", "m.h5", False),
        (".h5 weights", "w.h5", True),
        ("model directory", "model", False),
        ("weights directory", "weights", True),
    )
)


def save_durably(contender, model, path):
    """Save once with a new callback, outside ``fit``; return the seconds until the checkpoint is durable."""
    callback = contender.callback(path, 1)
    callback.set_model(model)
    callback.set_params({"steps": 1})
    callback.on_train_begin()
    time.sleep(1)  # in training, background preparation is complete before the first save
    callback.on_epoch_begin(0)
    started = time.perf_counter()
    callback.on_train_batch_end(0, {"loss": 0.0})
    contender.wait(callback)
    if not contender.name.startswith("lastgood"):  # lastgood has already synced
        os.sync()
    seconds = time.perf_counter() - started
    callback.on_train_end()
    return seconds
