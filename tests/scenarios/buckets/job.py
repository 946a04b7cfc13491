"""A training into a bucket, in a process that reports acknowledged saves and how it ended.

python job.py URL ENDING EPOCHS   trains; its last line has a digest of the weights
python job.py                     imports what training needs once, then forks a process for each incoming job
"""

import gc
import hashlib
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
import keras
import numpy as np

from lastgood import LastgoodError, ModelCheckpoint, SaveError
from lastgood._storage.objects import bucket, clients, lease, log
from scenarios.crash.server import serve

FAILED = 3  # the exit status of a training that ended because a save failed


def configure():
    """Make upload parts smaller, and the store's timeout and the lease shorter."""
    bucket._PART = 5 * 1024 * 1024
    clients._PATIENT["retry_timeout"] = timedelta(seconds=float(os.environ.get("PATIENCE", "8")))
    clients._PATIENT["backoff"] = clients._QUICK["backoff"] = {
        "init_backoff": timedelta(milliseconds=10),
        "max_backoff": timedelta(milliseconds=300),
        "base": 2.0,
    }
    lease.SECONDS = float(os.environ.get("LEASE", "60"))


def say(event, **values):
    """Print an event as a line."""
    print(json.dumps({"event": event, **values}), flush=True)


def model():
    """Return the model, always the same: its checkpoints are uploaded in several parts."""
    width = 1250
    keras.backend.clear_session()  # an Orbax directory identifies variables by the layers' automatic names
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((8,)), keras.layers.Dense(width), keras.layers.Dropout(0.2), keras.layers.Dense(width)]
    made = keras.Sequential(layers)
    made.compile(keras.optimizers.SGD(1e-3), "mse")
    return made


def digest(weights):
    """Return a digest of weights."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in weights)).hexdigest()


def train(url, ending, epochs):
    """Train, and print events; return the exit status."""
    trained = model()
    x = np.random.default_rng(2).normal(size=(16, 8)).astype("float32")
    y = np.zeros((16, trained.output_shape[1]), "float32")
    checkpoint = ModelCheckpoint(
        f"{url}/{{epoch:02d}}{ending}",
        save_weights_only=ending != ".keras",
        keep_last=2,
        resume=True,
        on_save=lambda saved: say("acknowledged", epoch=saved.epoch),
    )

    class Teller(keras.callbacks.Callback):
        async_safe = True

        def on_epoch_begin(self, epoch, logs=None):
            say("epoch", epoch=epoch)

        def on_epoch_end(self, epoch, logs=None):
            say("weights", epoch=epoch + 1, digest=digest(self.model.get_weights()))

    try:
        trained.fit(x, y, epochs=int(epochs), batch_size=8, verbose=0, callbacks=[Teller(), checkpoint])
    except SaveError as error:
        say("failed", error=str(error))
        return FAILED
    say("ended", digest=digest(trained.get_weights()))
    return 0


def run(command):
    """Train as a command says, in a forked process, and end the process."""
    os.environ.update(command["environment"])
    configure()
    status = 1
    try:
        status = train(*command["arguments"])
    except BaseException as error:  # noqa: BLE001 - it is reported, and the process ends here
        say("raised", error=repr(error), is_ours=isinstance(error, LastgoodError))
    log._flush_all()
    os._exit(status)


def warm():
    """Import, load and compile what a first training needs."""
    import boto3
    import orbax.checkpoint  # noqa: F401 - forked processes use it

    boto3.client("s3", region_name="us-east-1")  # loads the description of S3, which takes as long as a save
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)  # threads do not survive a fork, and what waits for them hangs
    model().fit(np.zeros((8, 8)), np.zeros((8, 1250)), verbose=0)
    gc.freeze()  # else each forked process goes through all of these objects again


if __name__ == "__main__":
    if len(sys.argv) > 1:
        configure()
        sys.exit(train(*sys.argv[1:]))
    warm()
    serve(run)
