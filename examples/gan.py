"""Train a GAN: a model with its own ``train_step`` and two optimizers.

Run it with ``KERAS_BACKEND=torch python gan.py``, or with ``tensorflow``. On JAX, Keras's ``fit()`` updates the state
of one optimizer only; there, write your own loop as in ``jax_loop.py``, with one state per optimizer.

The checkpoints hold the weights of both networks and the state of both optimizers. Kill the script at any time and
start it again with the same command: it continues inside the epoch, and the final weights equal those of a run that was
never killed. To start over, delete the directory.

The images are scikit-learn's handwritten digits.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

from lastgood import ModelCheckpoint

NOISE = 16  # random numbers per image


def minimize(loss: Callable[[], Any], variables: list[Any], optimizer: keras.optimizers.Optimizer) -> Any:
    """Update variables by one step, and return the loss."""
    if keras.backend.backend() == "torch":
        import torch

        for each in variables:
            each.value.grad = None
        value = loss()
        value.backward()
        with torch.no_grad():
            optimizer.apply([each.value.grad for each in variables], variables)
        return value.detach()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss()
    optimizer.apply(tape.gradient(value, variables), variables)
    return value


class Gan(keras.Model):
    """A generator, and a discriminator that tells its images from real ones, with one optimizer each."""

    def __init__(self) -> None:
        """Build both networks."""
        super().__init__()
        self.generator = keras.Sequential(
            [
                keras.Input((NOISE,)),
                layers.Dense(64),
                layers.BatchNormalization(),
                layers.LeakyReLU(0.2),
                layers.Dense(64, activation="sigmoid"),
                layers.Reshape((8, 8, 1)),
            ]
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(32, 3, activation="leaky_relu"),
                layers.Flatten(),
                layers.Dropout(0.3),
                layers.Dense(1),
            ]
        )
        self.seeds = keras.random.SeedGenerator(0)  # saved with the model, so the noise continues too
        self.built = True  # both networks are

    def compile(self) -> None:
        """Give each network its optimizer."""
        super().compile(optimizer=None)  # otherwise Keras creates a third one and saves its state
        self.generator_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5)
        self.discriminator_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.discriminator_loss = keras.metrics.Mean(name="discriminator_loss")
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    def noise(self, count: int) -> Any:
        """Return random numbers to make images from."""
        return keras.random.normal((count, NOISE), seed=self.seeds)

    def train_step(self, images: Any) -> dict[str, Any]:
        """Train the discriminator, then the generator."""
        images = ops.convert_to_tensor(images)
        count = ops.shape(images)[0]
        ones, zeros = ops.ones((count, 1)), ops.zeros((count, 1))

        def tells_apart() -> Any:
            made = self.generator(self.noise(count), training=True)
            judged = self.discriminator(ops.concatenate([images, made]), training=True)
            return self.cross_entropy(ops.concatenate([ones, zeros]), judged)

        def is_taken_for_real() -> Any:
            made = self.generator(self.noise(count), training=True)
            return self.cross_entropy(ones, self.discriminator(made, training=True))

        discriminator, generator = self.discriminator.trainable_variables, self.generator.trainable_variables
        self.discriminator_loss.update_state(minimize(tells_apart, discriminator, self.discriminator_optimizer))
        self.generator_loss.update_state(minimize(is_taken_for_real, generator, self.generator_optimizer))
        return {each.name: each.result() for each in (self.discriminator_loss, self.generator_loss)}


def main(arguments: list[str] | None = None) -> None:
    """Train, save the generator, and show an image that it made."""
    parser = argparse.ArgumentParser(description="Train a GAN that draws digits.")
    parser.add_argument("--directory", type=Path, default=Path("runs/gan"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=60, help="how often to go through the images")
    given = parser.parse_args(arguments)
    if keras.backend.backend() == "jax":
        sys.exit("On JAX, fit() updates the state of one optimizer only. Set KERAS_BACKEND to torch or tensorflow.")

    keras.utils.set_random_seed(0)
    images = load_digits().images[..., None].astype("float32") / 16.0
    gan = Gan()
    gan.compile()
    checkpoint = ModelCheckpoint(
        given.directory / "{epoch:03d}.weights.h5",
        save_weights_only=True,
        save_freq=20,
        keep_last=2,
        save_last=True,
        resume=True,
    )
    gan.fit(images, batch_size=64, epochs=given.epochs, verbose=2, callbacks=[checkpoint])

    gan.generator.save(given.directory / "generator.keras")
    print(f"{given.directory / 'generator.keras'} draws:")
    drawn = ops.convert_to_numpy(gan.generator(gan.noise(1)))[0, :, :, 0]
    for row in np.minimum(drawn * 6, 5).astype(int):
        print("".join(" .:*#@"[each] * 2 for each in row))


if __name__ == "__main__":
    main()
