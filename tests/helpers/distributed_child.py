"""Trains under a strategy of ``tf.distribute``: python distributed_child.py '{"strategy": "mirrored", ...}'.

Prints the weights, the step, and the names in the directory that it saved to, as JSON in the last line.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[1]))
import lastgood
from helpers.kit import keras

GIVEN = json.loads(sys.argv[1])


def strategy():
    if GIVEN["strategy"] == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.MultiWorkerMirroredStrategy()


def rows():
    x = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(axis=1, keepdims=True))).batch(8)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


class Stop(keras.callbacks.Callback):
    """Ends the process: at once at the end of an epoch, or as Ctrl-C does after a batch."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == GIVEN.get("interrupt_after"):
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == GIVEN.get("die_after"):
            self.checkpoint.wait()
            os._exit(9)


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    chosen = strategy()
    keras.utils.set_random_seed(GIVEN.get("seed", 0))
    with chosen.scope():
        layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    path = Path(GIVEN["path"])
    checkpoint = lastgood.ModelCheckpoint(
        path,
        save_weights_only=GIVEN.get("weights_only", False),
        save_freq=GIVEN.get("save_freq", "epoch"),
        resume=GIVEN.get("resume", False),
        keep_last=GIVEN.get("keep_last"),
    )
    model.fit(rows(), epochs=GIVEN["epochs"], verbose=0, callbacks=[checkpoint, Stop(checkpoint)])
    found = {
        "weights": [weight.tolist() for weight in model.get_weights()],
        "step": int(model.optimizer.iterations.numpy()),
        "names": sorted(each.name for each in path.parent.iterdir()),
    }
    print("\n" + json.dumps(found))


main()
