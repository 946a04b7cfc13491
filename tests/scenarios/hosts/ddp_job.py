"""One process of a PyTorch training in a loop of its own: ddp_job.py '{"rank": 0, "size": 2, "port": 12345, ...}'.

Prints, as JSON in the last line, the weights, the step, random numbers, and what it was told.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
import warnings

import keras
import numpy as np
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

import lastgood

GIVEN = json.loads(sys.argv[1])
RANK, SIZE = GIVEN["rank"], GIVEN["size"]
STEPS = GIVEN.get("steps", 12)


def model():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization()])
    frozen = keras.layers.Dense(8, trainable=False)
    made = keras.Sequential([keras.Input((4,)), inner, frozen, keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    made.compile(keras.optimizers.Adam(0.01), "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def train_step(trained, parallel, x, y):
    """Compute the gradients of all processes together, and update the weights with Keras's optimizer."""
    trained.zero_grad()
    loss = torch.nn.functional.mse_loss(parallel(x, training=True), y)
    loss.backward()
    weights = list(trained.trainable_weights)
    with torch.no_grad():
        trained.optimizer.apply([weight.value.grad for weight in weights], weights)
    return float(loss.detach())


def drawn_rows(drawn):
    """Yield the rows of each step, from any step on: random numbers, or the share of this process in a data set."""
    if GIVEN.get("data") != "DataLoader":
        while True:
            yield torch.tensor(np.random.normal(size=(8, 4)), dtype=torch.float32)
    rows = torch.tensor(np.random.default_rng(1).normal(size=(48, 4)), dtype=torch.float32)
    sampler = torch.utils.data.DistributedSampler(rows, SIZE, RANK)
    loader = torch.utils.data.DataLoader(rows, 8, sampler=sampler)
    epoch, batch = divmod(drawn, len(loader))
    while True:
        sampler.set_epoch(epoch)
        yield from itertools.islice(loader, batch, None)
        epoch, batch = epoch + 1, 0


def blow(step, checkpointer):
    """Do what the task says to this process after a step."""
    if step == GIVEN.get("die_after"):
        checkpointer.wait()
        os._exit(9)
    if step == GIVEN.get("raise_after"):
        raise ValueError("the user's own mistake")
    if step == GIVEN.get("term_after"):
        os.kill(os.getpid(), signal.SIGTERM)


def main():
    if SIZE > 1:
        store = f"tcp://127.0.0.1:{GIVEN['port']}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=RANK, world_size=SIZE)
    torch.manual_seed(GIVEN.get("seed", 0) + RANK)
    random.seed(GIVEN.get("seed", 0) + RANK)
    keras.utils.set_random_seed(0)
    trained = model()
    np.random.seed(GIVEN.get("seed", 0) + GIVEN.get("apart", 1) * RANK)  # each draws its own samples
    slow = {"on_save": lambda _: time.sleep(GIVEN["slow"])} if "slow" in GIVEN else {}
    arguments = {"timeout": GIVEN.get("timeout", 60), **slow, **GIVEN.get("arguments", {})}
    # Otherwise DDP arranges the gradients anew after its first step, and more than two are then added in another order.
    together = SIZE > 1 and "{rank}" not in GIVEN["path"]
    parallel = DistributedDataParallel(trained, find_unused_parameters=True) if together else trained
    trained.layers[-2].seed_generator.state.assign([5, GIVEN.get("apart", 1) * RANK])  # other dropout in each process
    with lastgood.Checkpointer(GIVEN["path"].replace("{rank}", str(RANK)), verbose=1, **arguments) as checkpointer:
        progress = checkpointer.restore(trained)
        drawn = progress.extra["drawn"] if progress else 100 * RANK * GIVEN.get("apart", 1)
        step = progress.step if progress else 0
        rows = drawn_rows(step)
        while step < STEPS:
            step, drawn, x = step + 1, drawn + 1, next(rows)
            loss = train_step(trained, parallel, x, x.sum(axis=1, keepdims=True))
            if step == GIVEN.get("sleeps_before_save"):
                time.sleep(GIVEN["sleeps"])
            stopping = checkpointer.should_stop
            if step % GIVEN.get("every", 3) == 0 or stopping:
                checkpointer.save(trained, step=step, metrics={"loss": loss}, extra={"drawn": drawn})
            if stopping:
                break
            blow(step, checkpointer)
    found = {
        "weights": [keras.ops.convert_to_numpy(each).tolist() for each in trained.weights],
        "shared": [keras.ops.convert_to_numpy(each).tolist() for each in trained.trainable_weights],
        "seeds": [keras.ops.convert_to_numpy(each).tolist() for each in trained.non_trainable_variables],
        "optimizer": [keras.ops.convert_to_numpy(each).tolist() for each in trained.optimizer.variables],
        "step": step,
        "drawn": drawn,
        "random": float(np.random.normal()),
        "resumed": progress and progress.step,
    }
    print("\n" + json.dumps(found))
    if SIZE > 1:
        torch.distributed.destroy_process_group()


with warnings.catch_warnings():
    warnings.simplefilter("default")
    main()
