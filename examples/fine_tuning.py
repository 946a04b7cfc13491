"""Train a new head on a frozen backbone, then fine-tune the whole model.

Run it with ``KERAS_BACKEND=jax python fine_tuning.py``, or with ``torch`` or ``tensorflow``.

Each call of ``fit()`` has its own checkpoint and ``resume=True``. Kill the script at any time and start it again with
the same command: phases that had finished are restored, not repeated; the one that was killed continues inside its
epoch; and the final weights equal those of a run that was never killed. To start over, delete the directory.

The images are scikit-learn's handwritten digits. The backbone stands in for one that you would load, such as
``keras.applications.MobileNetV3Small(include_top=False)``: it is trained on the digits 0 to 4, then the new head learns
all ten.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lastgood import ModelCheckpoint


def load_images() -> tuple[np.ndarray, ...]:
    """Return images to train on, held-out images, and the digits of both."""
    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16.0
    return train_test_split(images, digits.target, test_size=0.2, random_state=0)


def build_backbone() -> keras.Model:
    """Return a network that turns an image of 8 by 8 pixels into 32 features."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="backbone",
    )


def fit(model: keras.Model, x: np.ndarray, y: np.ndarray, path: Path, *, rate: float, epochs: int) -> None:
    """Train a model, or resume its training; each call needs its own path."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    checkpoint = ModelCheckpoint(path, save_freq=20, save_last=True, resume=True)
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[checkpoint]).history
    print(f"{path.stem}: {history['accuracy'][-1]:.3f} accuracy on the training images")


def main(arguments: list[str] | None = None) -> None:
    """Train in three phases, and evaluate the result."""
    parser = argparse.ArgumentParser(description="Train a head on a frozen backbone, then fine-tune all of it.")
    parser.add_argument("--directory", type=Path, default=Path("runs/fine-tuning"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each phase")
    given = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    x, x_held_out, y, y_held_out = load_images()

    backbone = build_backbone()
    pretrained = keras.Sequential([backbone, keras.layers.Dense(5, activation="softmax")])
    few = y < 5
    fit(pretrained, x[few], y[few], given.directory / "pretrained.keras", rate=3e-3, epochs=given.epochs)

    backbone.trainable = False
    images = keras.Input((8, 8, 1))
    features = backbone(images, training=False)  # keeps the moving averages, also while fine-tuning
    features = keras.layers.Dropout(0.2)(features)
    model = keras.Model(images, keras.layers.Dense(10, activation="softmax")(features))
    fit(model, x, y, given.directory / "head.keras", rate=1e-2, epochs=given.epochs)

    backbone.trainable = True
    fit(model, x, y, given.directory / "fine-tuned.keras", rate=1e-3, epochs=given.epochs)

    tuned = keras.models.load_model(given.directory / "fine-tuned.keras")  # stock Keras is enough to load it
    _, accuracy = tuned.evaluate(x_held_out, y_held_out, verbose=0)
    print(f"{accuracy:.3f} accuracy on {len(y_held_out)} held-out images")


if __name__ == "__main__":
    main()
