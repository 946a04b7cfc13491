"""Train a classifier of handwritten digits, and keep the best model by its accuracy on validation data."""

from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lastgood import ModelCheckpoint

DIRECTORY = Path("runs/digits")
EPOCHS = 12


def build_model() -> keras.Model:
    """Return a small network for images of 8 by 8 pixels."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Train, show what was saved, and load the best with stock Keras."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None] / 16.0
    x_train, x_held_out, y_train, y_held_out = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    for old in DIRECTORY.glob("*.keras"):  # each run of the demo starts afresh
        old.unlink()

    checkpoint = ModelCheckpoint(
        DIRECTORY / "{epoch:02d}-{val_accuracy:.3f}.keras",
        monitor="val_accuracy",
        mode="max",
        save_best_only=True,
        verbose=1,
    )
    build_model().fit(
        x_train, y_train, validation_split=0.2, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=[checkpoint]
    )

    saved = sorted(DIRECTORY.glob("*.keras"))
    print("\nSaved:")
    for path in saved:
        print(f"  {path}  {path.stat().st_size / 1e3:.1f} kB")
    best = saved[-1]  # with save_best_only, each file is better than the one before
    model = keras.models.load_model(best)
    _, accuracy = model.evaluate(x_held_out, y_held_out, verbose=0)
    print(f"\nBest validation accuracy: {checkpoint.best:.3f}")
    print(f"{best}, loaded with stock Keras: {accuracy:.3f} accuracy on {len(y_held_out)} held-out images")


if __name__ == "__main__":
    main()
