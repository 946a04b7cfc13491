"""A training into a bucket, as a process: job.py URL ENDING EPOCHS; it says what was acknowledged, and how it ended.

Its last line is a digest of the weights at the end. Time that a store gets, and that a lease lasts, is shortened.
"""

import hashlib
import json
import os
import sys
from datetime import timedelta

import numpy as np

from lastgood._storage.objects import clients, lease

clients._PATIENT.update(retry_timeout=timedelta(seconds=float(os.environ.get("PATIENCE", "6"))))
clients._PATIENT["backoff"] = clients._QUICK["backoff"] = {
    "init_backoff": timedelta(milliseconds=20),
    "max_backoff": timedelta(milliseconds=400),
    "base": 2.0,
}
lease.SECONDS = float(os.environ.get("LEASE", "60"))

import keras  # noqa: E402

from lastgood import ModelCheckpoint, SaveError  # noqa: E402

WIDTH = int(os.environ.get("WIDTH", "1500"))  # 9 MB of weights: more than goes in one request


def say(event, **values):
    """Print an event as a line."""
    print(json.dumps({"event": event, **values}), flush=True)


def model():
    """Return the model, always the same."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((8,)), keras.layers.Dense(WIDTH), keras.layers.Dropout(0.2), keras.layers.Dense(WIDTH)]
    made = keras.Sequential(layers)
    made.compile(keras.optimizers.SGD(1e-3), "mse")
    return made


def main(url, ending, epochs):
    """Train, and say so."""
    trained = model()
    x = np.random.default_rng(2).normal(size=(32, 8)).astype("float32")
    y = np.zeros((32, WIDTH), "float32")
    checkpoint = ModelCheckpoint(
        f"{url}/{{epoch:02d}}{ending}",
        save_weights_only=ending != ".keras",
        keep_last=2,
        resume=True,
        on_save=lambda saved: say("acknowledged", step=saved.step, path=str(saved.path)),
    )
    first = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: say("epoch", epoch=epoch))
    first.async_safe = True
    try:
        trained.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=[first, checkpoint])
    except SaveError as error:
        say("failed", error=str(error))
        sys.exit(3)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in trained.get_weights()))
    say("ended", digest=digest.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
