"""A training script that a test kills and restarts: python child.py DIRECTORY '{"data": "arrays", ...}'.

It trains a model with Dropout and BatchNormalization under callbacks that have states. It kills itself at the given
batch, or writes its final state to DIRECTORY/end.npz and DIRECTORY/history.json.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
import lastgood
from helpers.kit import TF_KERAS, keras

ROWS, BATCH, EPOCHS = 96, 8, 4
DEFAULTS = {
    "data": "arrays",
    "save_freq": "epoch",
    "background": True,
    "kill_at": None,  # the batch, counted in this process, after which it kills itself
    "signal": int(signal.SIGKILL),
    "epochs": EPOCHS,
    "where": "",  # the URL to save to; empty for the directory
    "path": "{epoch:02d}.keras",
    "weights_only": False,
    "start": 0,  # how many times it was started before: each start has other initial weights
    "fit": {},
    "options": {},
    "callbacks": "behind",
    "compile": {},
    "optimizer": {},
    "classes": False,
}


def rows(classes=False):
    generator = np.random.default_rng(7)
    x = generator.normal(size=(ROWS, 6)).astype("float32")
    y = (x @ generator.normal(size=(6, 1)) + generator.normal(size=(ROWS, 1))).astype("float32")
    return x, (y > 0).astype("int32") if classes else y


class Batches(getattr(keras.utils, "PyDataset", object)):  # tf_keras has none
    """The rows, batch by batch."""

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, i):
        x, y = rows()
        return x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH]


def arguments(kind, classes):
    """Return what ``fit`` gets for its batches."""
    x, y = rows(classes)
    if kind == "arrays":
        return {"x": x, "y": y, "batch_size": BATCH, "shuffle": True}
    if kind == "PyDataset":
        return {"x": Batches(), "shuffle": True}
    if kind == "tf.data":
        import tensorflow as tf

        return {"x": tf.data.Dataset.from_tensor_slices((x, y)).shuffle(ROWS).batch(BATCH), "shuffle": False}
    if kind == "grain":
        import grain

        pairs = grain.MapDataset.source(np.hstack([x, y])).shuffle(seed=1).map(lambda row: (row[:-1], row[-1:]))
        return {"x": pairs.repeat(2).batch(BATCH), "shuffle": False}
    import torch

    torch.manual_seed(5)  # Keras does it only where torch is the backend
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    if kind == "DataLoader":
        return {"x": torch.utils.data.DataLoader(pairs, BATCH, shuffle=True), "shuffle": False}
    from torchdata.stateful_dataloader import StatefulDataLoader

    return {"x": StatefulDataLoader(pairs, BATCH, shuffle=True), "shuffle": False}


def build(given):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    optimizer = keras.optimizers.Adam(0.02, **given["optimizer"])
    model.compile(optimizer, "mse", metrics=["mae"], **given["compile"])
    return model


class Killer(keras.callbacks.Callback):
    """Kills its process after a batch; in the first start, not before one save is durable."""

    def __init__(self, given, checkpoint):
        super().__init__()
        self.left, self.number = given["kill_at"], given["signal"]
        self.first, self.checkpoint = given["start"] == 0, checkpoint

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                while self.first and not self.checkpoint.stats:
                    time.sleep(0.01)  # without a checkpoint, a restart would begin with other weights
                os.kill(os.getpid(), self.number)


def main():
    directory = Path(sys.argv[1])
    given = DEFAULTS | json.loads(sys.argv[2])
    if TF_KERAS:  # else Dropout draws from a state that cannot be saved
        keras.backend.experimental.enable_tf_random_generator()
    keras.utils.set_random_seed(3)
    model = build(given)
    model.set_weights([weight + given["start"] for weight in model.get_weights()])
    keras.utils.set_random_seed(4)
    checkpoint = lastgood.ModelCheckpoint(
        f"{given['where'] or directory}/{given['path']}",
        save_freq=given["save_freq"],
        background=given["background"],
        save_weights_only=given["weights_only"],
        resume=True,
        **given["options"],
    )
    others = [
        keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=1.0),
        keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True),
        keras.callbacks.CSVLogger(directory / "log.csv"),
    ]
    if given["optimizer"].get("use_ema") and not TF_KERAS:  # tf_keras has no such callback
        others.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    members = [checkpoint, *others] if given["callbacks"] == "behind" else [*others, checkpoint]
    x, y = rows(given["classes"])
    fit = arguments(given["data"], given["classes"]) | {"validation_data": (x[:32], y[:32])} | given["fit"]
    if "class_weight" in fit:  # JSON has no integers for keys
        fit["class_weight"] = {int(key): weight for key, weight in fit["class_weight"].items()}
    history = model.fit(**fit, epochs=given["epochs"], verbose=0, callbacks=[*members, Killer(given, checkpoint)])
    values = [*model.variables, *model.optimizer.variables]
    np.savez(directory / "end.npz", *[v.numpy() if TF_KERAS else keras.ops.convert_to_numpy(v) for v in values])
    told = {"epoch": history.epoch, "history": history.history}
    (directory / "history.json").write_text(json.dumps(told, default=float))  # tf_keras has NumPy learning rates


if __name__ == "__main__":
    main()
