"""Train a Keras model in a loop of your own on JAX, with ``lastgood.Checkpointer``.

Run it with ``KERAS_BACKEND=jax python jax_loop.py``.

The loop carries the state from which JAX computes each step. Before it saves, it assigns the state to the model's
variables; after it has restored, it reads the state from them. Kill the script at any time and start it again with the
same command: it continues after the newest checkpoint, and the final weights equal those of a run that was never
killed. On SIGTERM and Ctrl-C it saves before it ends. To start over, delete the directory.

The images are scikit-learn's handwritten digits.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lastgood

BATCH = 32
SAVE_EVERY = 20  # steps


def build_model() -> keras.Model:
    """Return a small image classifier; its Dropout and BatchNormalization have state besides the weights."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)  # it is saved with the model
    return model


def variables_of(model: keras.Model) -> tuple[list[Any], ...]:
    """Return all variables that a step changes."""
    return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables


def read_state(model: keras.Model) -> tuple[list[Any], ...]:
    """Return the values of the variables."""
    return tuple([each.value for each in variables] for variables in variables_of(model))


def assign_state(model: keras.Model, state: tuple[list[Any], ...]) -> None:
    """Assign values to the variables."""
    for variables, values in zip(variables_of(model), state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def main(arguments: list[str] | None = None) -> None:
    """Train, save the model, and evaluate it."""
    parser = argparse.ArgumentParser(description="Train a classifier in a loop of your own on JAX.")
    parser.add_argument("--directory", type=Path, default=Path("runs/jax-loop"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=10, help="how often to go through the images")
    given = parser.parse_args(arguments)
    if keras.backend.backend() != "jax":
        sys.exit("This loop is written in JAX. Set KERAS_BACKEND to jax.")

    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16.0
    x, x_held_out, y, y_held_out = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    model = build_model()

    def compute_loss(trainable: list[Any], others: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
        predicted, others = model.stateless_call(trainable, others, x, training=True)
        return model.loss(y, predicted), others

    @jax.jit
    def train_step(state: tuple[list[Any], ...], x: Any, y: Any) -> tuple[Any, tuple[list[Any], ...]]:
        trainable, others, optimizer = state
        (loss, others), gradients = jax.value_and_grad(compute_loss, has_aux=True)(trainable, others, x, y)
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return loss, (trainable, others, optimizer)

    batches = len(x) // BATCH
    last = given.epochs * batches
    with lastgood.Checkpointer(given.directory / "{step:06d}.weights.h5", keep_last=2) as checkpointer:
        progress = checkpointer.restore(model)
        done = progress.step if progress else 0
        print(f"Training steps {done + 1} to {last}." if done < last else "All steps are done.")
        state = read_state(model)
        for step in range(done + 1, last + 1):
            epoch, batch = divmod(step - 1, batches)
            order = np.random.default_rng([0, epoch]).permutation(len(x))  # depends on nothing but the epoch
            rows = order[batch * BATCH : (batch + 1) * BATCH]
            loss, state = train_step(state, x[rows], y[rows])
            if step % SAVE_EVERY == 0 or step == last or checkpointer.should_stop:
                assign_state(model, state)
                checkpointer.save(model, step=step, epoch=epoch + 1, metrics={"loss": loss})
            if checkpointer.should_stop:  # SIGTERM or SIGINT; it takes effect when the block ends
                break

    model.save(given.directory / "trained.keras")
    _, accuracy = model.evaluate(x_held_out, y_held_out, verbose=0)
    print(f"{given.directory / 'trained.keras'}: {accuracy:.3f} accuracy on {len(y_held_out)} held-out images")


if __name__ == "__main__":
    main()
