"""Train a small transformer to write text, character by character.

Run it with ``KERAS_BACKEND=jax python text_transformer.py``, or with ``torch`` or ``tensorflow``.

One callback saves every 20 batches and keeps the two newest checkpoints; another saves the best epoch. Kill the script
at any time and start it again with the same command: it continues inside the epoch, and the final weights equal those
of a run that was never killed. To start over, delete the directory. ``lastgood ls runs/text`` lists the checkpoints,
even while the script runs.

The text is Python's own help, so nothing is downloaded. The model uses only layers and operations that come with Keras,
so ``keras.models.load_model`` loads a checkpoint without this script.
"""

import argparse
from pathlib import Path
from pydoc_data.topics import topics

import keras
import numpy as np
from keras import layers, ops

from lastgood import ModelCheckpoint

CHARACTERS = 100_000  # of the text
CONTEXT = 64  # characters that the model sees
WIDTH = 64
BLOCKS = 2


def load_text() -> tuple[np.ndarray, str]:
    """Return a text as numbers, and the characters they stand for."""
    text = "\n".join(topics.values())[:CHARACTERS]
    alphabet = "".join(sorted(set(text)))
    return np.array([alphabet.index(each) for each in text], "int32"), alphabet


def build_model(characters: int) -> keras.Model:
    """Return a decoder that predicts the next character at each position."""
    tokens = keras.Input((CONTEXT,), dtype="int32")
    positions = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    x = layers.Embedding(characters, WIDTH)(tokens) + layers.Embedding(CONTEXT, WIDTH)(positions)
    for _ in range(BLOCKS):
        normal = layers.LayerNormalization()(x)
        x += layers.MultiHeadAttention(num_heads=4, key_dim=WIDTH // 4)(normal, normal, use_causal_mask=True)
        hidden = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x += layers.Dropout(0.1)(layers.Dense(WIDTH)(hidden))
    model = keras.Model(tokens, layers.Dense(characters)(layers.LayerNormalization()(x)))
    model.compile(keras.optimizers.AdamW(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def write(model: keras.Model, start: np.ndarray, count: int) -> np.ndarray:
    """Continue a text; the model needs at least ``CONTEXT`` characters to start from."""
    text, random = start, np.random.default_rng(0)
    for _ in range(count):
        scores = model.predict(text[None, -CONTEXT:], verbose=0)[0, -1].astype("float64")
        likelihoods = np.exp((scores - scores.max()) / 0.5)  # a lower temperature makes the text tamer
        text = np.append(text, random.choice(len(scores), p=likelihoods / likelihoods.sum()))
    return text[len(start) :]


def main(arguments: list[str] | None = None) -> None:
    """Train, and let the best model write."""
    parser = argparse.ArgumentParser(description="Train a small transformer to write text.")
    parser.add_argument("--directory", type=Path, default=Path("runs/text"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=10, help="how often to go through the text")
    given = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    text, alphabet = load_text()
    windows = np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1)[:: CONTEXT // 2]
    x, y = windows[:, :-1], windows[:, 1:]

    model = build_model(len(alphabet))
    latest = ModelCheckpoint(
        given.directory / "{epoch:03d}.keras", save_freq=20, keep_last=2, save_last=True, resume=True
    )
    best = ModelCheckpoint(given.directory / "best.keras", monitor="val_loss", save_best_only=True, resume=True)
    model.fit(x, y, validation_split=0.1, batch_size=64, epochs=given.epochs, verbose=2, callbacks=[latest, best])

    print(f"The lowest validation loss is {best.best:.3f}. The model of that epoch writes:")
    writer = keras.models.load_model(given.directory / "best.keras")  # stock Keras is enough to load it
    print("".join(alphabet[each] for each in write(writer, text[:CONTEXT], 2 * CONTEXT)))


if __name__ == "__main__":
    main()
