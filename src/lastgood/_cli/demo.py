"""``demo``: train a small model to try the other commands on."""

from pathlib import Path
from typing import Annotated

import typer

from .._errors import MissingExtraError
from . import output
from .listing import print_table


def demo(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory to save to.")] = Path("lastgood-demo"),
    epochs: Annotated[int, typer.Option(help="Number of epochs; a higher number resumes an earlier demo.")] = 8,
    json: output.AsJson = False,
) -> None:
    """Train a small model to try the other commands on. Keeps its last two checkpoints and the best one."""
    try:
        import keras
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_backend(error) from error
    import numpy as np

    from .._callback.keras3 import ModelCheckpoint

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    y = (np.sin(x).sum(axis=1, keepdims=True) > 0).astype("float32")
    layers = [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    checkpoint = ModelCheckpoint(run / "{epoch:02d}.keras", keep_last=2, keep_best=1, resume=True)
    model.fit(x, y, validation_split=0.25, epochs=epochs, callbacks=[checkpoint], verbose=0)
    if json:
        output.write_json(checkpoint.run.listing())
        return
    print_table(checkpoint.run, "val_loss", "auto")
    output.console().print(f"Try: lastgood show {run / f'{epochs:02d}.keras'}, or: lastgood report {run}")
