"""One process of a training in two that may be hit while it saves or restores: blow_job.py '{"rank": 0, ...}'.

Prints, as JSON in the last line, the weights and the step.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

GIVEN = json.loads(sys.argv[1])
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2"])

import jax  # noqa: E402 - the flags come first
import keras  # noqa: E402
import numpy as np  # noqa: E402

import lastgood  # noqa: E402

RANK, EPOCHS, STEPS = GIVEN["rank"], 5, 8
WIDTH = 256
SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


def hit():
    """Hit this process after the time that the task says, in a thread, if it is the one to be hit."""
    blow = GIVEN.get("blow")
    if blow is None or blow["rank"] != RANK:
        return

    def wait_and_hit():
        time.sleep(blow["after"])
        os.kill(os.getpid(), SIGNALS[blow["how"]])

    threading.Thread(target=wait_and_hit, daemon=True).start()


class BeforeTheSave(keras.callbacks.Callback):
    """Hits this process some time after its third save has begun; the steps are as long as a save."""

    async_safe = True

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2 and GIVEN.get("where") == "save":
            hit()

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.01)


def model():
    count = len(jax.devices())
    mesh = keras.distribution.DeviceMesh((1, count), ["batch", "model"], jax.devices())
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*kernel"] = (None, "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False)
    )
    layers = [keras.layers.Dense(WIDTH, use_bias=False, name=f"layer{number}") for number in range(4)]
    made = keras.Sequential([keras.Input((WIDTH,)), *layers], name="model")
    made.compile(keras.optimizers.Adam(0.001), "mse")
    return made


def orbax(trained, path):
    """Restore as a script around Keras's OrbaxCheckpoint does; return the callback and the first epoch."""
    steps = [int(each.name) for each in Path(path).glob("*") if each.name.isdigit()]
    if steps:
        trained.optimizer.build(trained.trainable_variables)
        trained.load_weights(path)
    callback = keras.callbacks.OrbaxCheckpoint(path, monitor="loss", save_freq="epoch", max_to_keep=2)
    return callback, max(steps, default=-1) + 1


def main():
    jax.distributed.initialize(f"127.0.0.1:{GIVEN['port']}", GIVEN["size"], RANK, heartbeat_timeout_seconds=10)
    keras.utils.set_random_seed(0)
    trained = model()
    x = np.random.default_rng(1).normal(size=(STEPS * 4, WIDTH)).astype("float32")
    if GIVEN.get("where") == "restart":
        hit()
    if GIVEN["contender"] == "OrbaxCheckpoint":
        callback, first = orbax(trained, GIVEN["path"])
    else:
        weights_only = not GIVEN["path"].endswith(".keras")
        callback = lastgood.ModelCheckpoint(
            GIVEN["path"], save_weights_only=weights_only, monitor="loss", resume=True, keep_last=2, timeout=5
        )
        first = 0
    callbacks = [BeforeTheSave(), callback]
    trained.fit(x, -x, 4, EPOCHS, initial_epoch=first, verbose=0, shuffle=False, callbacks=callbacks)
    from jax.experimental import multihost_utils

    weights = [multihost_utils.process_allgather(each.value, tiled=True) for each in trained.weights]
    sums = [np.asarray(each).astype("float64").tobytes().hex()[:64] for each in weights]
    print("\n" + json.dumps({"weights": sums, "step": int(trained.optimizer.iterations.value)}))


main()
