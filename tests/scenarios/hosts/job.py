"""One process of a training in several: job.py '{"rank": 0, "size": 2, "port": 12345, "path": "...", ...}'.

Prints, as JSON in the last line, the weights, the step, the best value and the history.
"""

import itertools
import json
import os
import signal
import socket
import sys
import time
import warnings
from datetime import timedelta

GIVEN = json.loads(sys.argv[1])
DEVICES = f"--xla_force_host_platform_device_count={GIVEN.get('devices', 2)}"
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), DEVICES])

import jax  # noqa: E402 - the flags come first
import keras  # noqa: E402
import numpy as np  # noqa: E402

import lastgood  # noqa: E402

RANK, SIZE = GIVEN["rank"], GIVEN["size"]


class Blow(keras.callbacks.Callback):
    """Does what the task says to this process, after a number of batches."""

    async_safe = True

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint
        self.done = 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == GIVEN.get("die_after"):
            self.checkpoint.wait()
            time.sleep(GIVEN.get("lags", 0))
            os._exit(9)
        if self.done == GIVEN.get("sleep_after"):
            time.sleep(GIVEN["sleeps"])
        if self.done == GIVEN.get("term_after") and GIVEN.get("whom", 0) == RANK:
            os.kill(os.getpid(), signal.SIGTERM)


def hold(number, seconds):
    """Delay one of the network connections that this process makes."""
    connect, made = socket.create_connection, itertools.count(1)

    def slowly(*arguments, **named):
        if next(made) == number:
            time.sleep(seconds)
        return connect(*arguments, **named)

    socket.create_connection = slowly


def distribution():
    if GIVEN["kind"] == "data_parallel":
        return keras.distribution.DataParallel(auto_shard_dataset=False)
    count = len(jax.devices())
    mesh = keras.distribution.DeviceMesh(tuple(GIVEN["mesh"]), ["batch", "model"], jax.devices()[:count])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*wide/kernel"] = (None, "model")
    layout[".*wide/bias"] = ("model",)
    layout[".*narrow/kernel"] = ("model", None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False)


def model():
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, name="wide"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, name="narrow"),
    ]
    made = keras.Sequential(layers)
    made.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return made


def save_freq():
    seconds = GIVEN.get("seconds")
    return GIVEN.get("save_freq", "epoch") if seconds is None else timedelta(seconds=seconds)


def data_of(x, y, batch):
    """Return what ``fit`` gets for its batches; each process may shuffle them in a different order."""
    kind, seed = GIVEN.get("data", "arrays"), 11 + GIVEN.get("apart", 0) * RANK
    if kind == "arrays":
        return {"x": x, "y": y, "batch_size": batch}
    if kind == "tf.data":
        import tensorflow as tf

        tf.random.set_seed(seed)
        return {"x": tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(batch)}
    import torch

    torch.manual_seed(seed)
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return {"x": torch.utils.data.DataLoader(pairs, batch, shuffle=True), "shuffle": False}


def fit(trained, x, y, batch):
    """Train with the callback; return what the user sees of it."""
    slow = {"on_save": lambda _: time.sleep(GIVEN["slow"])} if "slow" in GIVEN else {}
    checkpoint = lastgood.ModelCheckpoint(
        GIVEN["path"],
        save_freq=save_freq(),
        monitor="loss",
        verbose=1,
        timeout=GIVEN.get("timeout", 60),
        **slow,
        **GIVEN.get("arguments", {}),
    )
    if "holds" in GIVEN:
        hold(GIVEN["holds"], GIVEN["sleeps"])
    blow = Blow(checkpoint)
    data = data_of(x, y, batch)
    history = trained.fit(**data, epochs=GIVEN.get("epochs", 3), verbose=0, callbacks=[checkpoint, blow])
    return {"best": checkpoint.best, "history": history.history}


def loop(trained, x, y, batch):
    """Train in a loop with a checkpointer; return what the user sees of it."""
    trained.optimizer.build(trained.trainable_variables)
    with lastgood.Checkpointer(GIVEN["path"], verbose=1, timeout=GIVEN.get("timeout", 60)) as checkpointer:
        progress = checkpointer.restore(trained)
        step = progress.step if progress else 0
        while step < GIVEN.get("steps", 12):
            step += 1
            rows = np.random.permutation(len(x))[:batch]
            loss = trained.train_on_batch(x[rows], y[rows])
            stopping = checkpointer.should_stop
            if step % GIVEN["save_freq"] == 0 or stopping:
                checkpointer.save(trained, step=step, metrics={"loss": loss}, extra={"rank": RANK})
            if stopping:
                break
            if step == GIVEN.get("die_after"):
                checkpointer.wait()
                time.sleep(0 if RANK else 0.5)  # jax aborts the others when the first process is gone
                os._exit(9)
            if step == GIVEN.get("term_after") and GIVEN.get("whom", 0) == RANK:
                os.kill(os.getpid(), signal.SIGTERM)
    return {"extra": progress and progress.extra, "random": float(np.random.normal())}


def main():
    if SIZE > 1:
        keras.distribution.initialize(f"127.0.0.1:{GIVEN['port']}", SIZE, RANK)
    keras.utils.set_random_seed(GIVEN.get("seed", 0))
    np.random.seed(GIVEN.get("seed", 0) + GIVEN.get("apart", 0) * RANK)  # each shuffles its rows in a different order
    keras.distribution.set_distribution(distribution())
    trained = model()
    rows = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
    shares = SIZE if GIVEN.get("mesh", [SIZE])[0] >= SIZE else 1  # if the batch is not split, all have all rows
    share = 64 // shares
    x = rows[RANK % shares * share :][:share]
    y = x.sum(axis=1, keepdims=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        seen = (loop if GIVEN.get("loop") else fit)(trained, x, y, 16 // shares)
    found = {
        "weights": [np.asarray(each).tolist() for each in map(whole, trained.weights)],
        "step": int(trained.optimizer.iterations.value),
        "warnings": [str(each.message) for each in said if issubclass(each.category, UserWarning)],
        **seen,
    }
    print("\n" + json.dumps(found))


def whole(variable):
    value = variable.value
    if value.is_fully_addressable or value.is_fully_replicated:
        return value
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(value, tiled=True)


main()
