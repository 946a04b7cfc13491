"""Train one Keras model in several PyTorch processes, with DDP and ``lastgood.Checkpointer``.

torchrun starts the processes, on one machine or many, and starts all of them again if one fails:

    export KERAS_BACKEND=torch TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    torchrun --nproc-per-node 2 --max-restarts 3 ddp.py

The second variable is needed with gloo: without it, PyTorch 2.13 tries to connect to the processes from before a
restart.

Each process computes gradients from its own share of the images; DDP averages them, and Keras's optimizer applies them.
Kill a process at any time, or start the script again: training continues after the newest checkpoint, and the final
weights equal those of a run that was never killed. SIGTERM to one process makes all of them save and end. The directory
must be one that all processes share, or a bucket. To start over, delete the directory.

The images are scikit-learn's handwritten digits.
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

import lastgood

BATCH = 64  # images per step, over all processes
SAVE_EVERY = 10  # steps


def build_model() -> keras.Model:
    """Return a small image classifier; each process has its own statistics for BatchNormalization."""
    layers = [
        keras.Input((64,)),
        keras.layers.Dense(32),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(10),
    ]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.optimizer.build(model.trainable_variables)  # it is saved with the model
    return model


def train_step(model: keras.Model, parallel: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Update the weights from the images of all processes; return the loss of this one's."""
    model.zero_grad()
    loss = model.loss(y, parallel(x, training=True))
    loss.backward()  # DDP averages the gradients of all processes
    weights = model.trainable_weights
    with torch.no_grad():
        model.optimizer.apply([weight.value.grad for weight in weights], weights)
    return float(loss.detach())


def main(arguments: list[str] | None = None) -> None:
    """Train, or resume training."""
    parser = argparse.ArgumentParser(description="Train one model in several PyTorch processes.")
    parser.add_argument("--directory", type=Path, default=Path("runs/ddp"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=10, help="how often to go through the images")
    options = parser.parse_args(arguments)
    if keras.backend.backend() != "torch":
        sys.exit("DDP is PyTorch's. Set KERAS_BACKEND to torch.")

    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")  # torchrun tells it how many there are
    rank, size = dist.get_rank(), dist.get_world_size()
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images, labels = digits.images.reshape(-1, 64).astype("float32") / 16.0, digits.target
    batches = len(images) // BATCH
    model = build_model()
    # Before the restore, because this copies the first process's state to all. With more than two processes, the option
    # keeps the order of sums after a restart; without it, DDP rearranges the gradients after its first step.
    parallel = DistributedDataParallel(model, find_unused_parameters=True)

    with lastgood.Checkpointer(options.directory / "{step:05d}.keras", keep_last=2) as checkpointer:
        progress = checkpointer.restore(model)
        if progress and rank == 0:
            print(f"resumed from step {progress.step}")
        loss = float("nan")
        for step in range(progress.step if progress else 0, options.epochs * batches):
            epoch, batch = divmod(step, batches)
            order = np.random.default_rng(epoch).permutation(len(images))  # the same in all processes
            mine = order[batch * BATCH : (batch + 1) * BATCH][rank::size]
            x, y = keras.ops.convert_to_tensor(images[mine]), keras.ops.convert_to_tensor(labels[mine])
            loss = train_step(model, parallel, x, y)
            done, stopping = step + 1, checkpointer.should_stop
            if done % SAVE_EVERY == 0 or done == options.epochs * batches or stopping:
                checkpointer.save(model, step=done, epoch=epoch + 1, metrics={"loss": loss})
            if stopping:
                break
    print(f"process {rank} of {size}: loss {loss:.6f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
