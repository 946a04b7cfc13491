"""Train one Keras model in several JAX processes, on one machine or many, that save and resume as one.

Each process runs this same script. ``slurm_hosts.sh`` starts it on SLURM, ``kubernetes_hosts.yaml`` on Kubernetes.
``keras.distribution.initialize()`` finds the other processes through the environment variables that they set. To try
it on one machine, start two:

    export KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=localhost:12345 KERAS_DISTRIBUTION_NUM_PROCESSES=2
    KERAS_DISTRIBUTION_PROCESS_ID=0 python hosts.py & KERAS_DISTRIBUTION_PROCESS_ID=1 python hosts.py

Kill them at any time and start them again with the same commands: they continue after the newest checkpoint, and end
with the same weights as if they had never been killed. SIGTERM to one of them makes all of them save. The directory
must be one that all processes share, or a bucket.

The images are scikit-learn's handwritten digits.
"""

import argparse
from pathlib import Path

import jax
import keras
import numpy as np
from sklearn.datasets import load_digits

from lastgood import ModelCheckpoint

BATCH = 64  # images per step, over all processes


def build_model() -> keras.Model:
    """Return a small image classifier."""
    layers = [keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def own_share(rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return this process's share of the images: each process reads its own."""
    digits = load_digits()
    count = len(digits.target) // size // BATCH * BATCH  # equal shares: every process takes the same number of steps
    mine = slice(rank * count, (rank + 1) * count)
    return digits.images[mine].reshape(-1, 64).astype("float32") / 16.0, digits.target[mine]


def main(arguments: list[str] | None = None) -> None:
    """Train, or resume training."""
    parser = argparse.ArgumentParser(description="Train one model in several processes.")
    parser.add_argument("--directory", type=Path, default=Path("runs/hosts"), help="where checkpoints go")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args(arguments)

    keras.distribution.initialize()
    rank, size = jax.process_index(), jax.process_count()
    keras.utils.set_random_seed(0)  # the same seed everywhere: the model starts with the same weights
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))

    x, y = own_share(rank, size)
    checkpoint = ModelCheckpoint(options.directory / "{epoch:03d}.keras", resume=True, keep_last=3)
    model = build_model()
    history = model.fit(x, y, batch_size=BATCH // size, epochs=options.epochs, verbose=0, callbacks=[checkpoint])
    print(f"process {rank} of {size}: loss {history.history['loss'][-1]:.6f} in the last epoch")


if __name__ == "__main__":
    main()
