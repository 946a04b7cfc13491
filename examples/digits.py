"""Train a classifier of handwritten digits, kill it in the middle of an epoch, and resume as if nothing had happened.

Run `python digits.py`. It starts itself as a training script (`python digits.py train DIRECTORY`) three times.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lastgood import ModelCheckpoint

DIRECTORY = Path("runs/digits")
EPOCHS = 12
KILLED_AT = 250  # a step in the middle of the seventh epoch


def build_model() -> keras.Model:
    """Return a small network for images of 8 by 8 pixels."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def load_images() -> tuple[np.ndarray, ...]:
    """Return images to train on and held-out images, then the digits of both."""
    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16.0
    return train_test_split(images, digits.target, test_size=0.2, random_state=0)


class PowerCut(keras.callbacks.Callback):
    """A callback that kills this process at a step of the first run, as a power cut would."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: ARG002 - Keras's signature
        """Kill the process at its step."""
        if int(self.model.optimizer.iterations) == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)


def train(directory: Path, *, killed: bool) -> None:
    """Train, as a user's whole script does; its second start continues where the first was killed."""
    keras.utils.set_random_seed(0)
    x, _, y, _ = load_images()
    last = ModelCheckpoint(directory / "last.keras", save_freq=10, resume=True)
    best = ModelCheckpoint(
        directory / "{epoch:02d}-{val_accuracy:.3f}.keras",
        monitor="val_accuracy",
        mode="max",
        save_best_only=True,
        resume=True,
    )
    model = build_model()
    callbacks = [last, best, *([PowerCut()] if killed else [])]
    history = model.fit(x, y, validation_split=0.2, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=callbacks)
    values = [keras.ops.convert_to_numpy(v) for v in [*model.variables, *model.optimizer.variables]]
    np.savez(directory / "end.npz", *values, *(np.array(each) for each in history.history.values()))


def start(directory: Path, *options: str) -> bool:
    """Start the training script; return True if it finished."""
    return not subprocess.run([sys.executable, __file__, "train", directory, *options], check=False).returncode


def main() -> None:
    """Train with and without a power cut, compare, and load the best checkpoint with stock Keras."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)  # each run of the demo starts afresh
    whole, cut = DIRECTORY / "whole", DIRECTORY / "cut"
    print("Training without a power cut.")
    if not start(whole):
        sys.exit("The training failed.")
    print(f"Training with one, at step {KILLED_AT}.")
    if start(cut, "--killed"):
        sys.exit("The training was not killed.")
    print("Killed. Starting the same script again.")
    if not start(cut):
        sys.exit("The training failed.")
    with np.load(whole / "end.npz") as a, np.load(cut / "end.npz") as b:
        same = a.files == b.files and all(a[name].tobytes() == b[name].tobytes() for name in a.files)
    print(f"Weights, optimizer and history, with and without the power cut: {'bit-equal' if same else 'DIFFERENT'}")

    best = sorted(cut.glob("*-*.keras"))[-1]  # with save_best_only, each file is better than the one before
    model = keras.models.load_model(best)
    _, x_held_out, _, y_held_out = load_images()
    _, accuracy = model.evaluate(x_held_out, y_held_out, verbose=0)
    print(f"{best}, loaded with stock Keras: {accuracy:.3f} accuracy on {len(y_held_out)} held-out images")
    sys.exit(not same)


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(Path(sys.argv[2]), killed="--killed" in sys.argv)
    else:
        main()
