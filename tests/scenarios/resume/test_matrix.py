"""Killed twice and restarted, training ends as if nothing had happened: weights, optimizer, history, log file.

The complete matrix takes long: `make test-resume` runs it; otherwise a part of it runs, the same each time.
"""

import itertools
import random

import pytest

from helpers import sampling
from scenarios.resume.conftest import assert_same, train

BACKENDS = ("jax", "torch", "tensorflow")
DATA = ("arrays", "PyDataset", "tf.data", "DataLoader")
CELLS = list(itertools.product(BACKENDS, DATA, ("epoch", 3), (True, False)))
TF_KERAS_CELLS = list(itertools.product(("tf_keras",), ("arrays", "tf.data"), ("epoch", 3), (True, False)))
IN_BUCKETS = [
    ("jax", "arrays", "{epoch:02d}-{batch:03d}.keras", 3),
    ("tensorflow", "tf.data", "last.keras", 3),
    ("torch", "DataLoader", "{epoch:02d}.weights.h5", "epoch"),
    *itertools.product(BACKENDS, ("arrays", "DataLoader"), ("{epoch:02d}.keras", "{epoch:02d}"), ("epoch", 3)),
]
BATCHES = 48


def _chosen():
    """Return all cells, or a few in which each backend and each kind of data appears at least once."""
    if sampling.is_whole():
        return CELLS + TF_KERAS_CELLS
    draw = random.Random(0)
    pairs = zip(itertools.cycle(BACKENDS), DATA, strict=False)
    chosen = [draw.choice([cell for cell in CELLS if cell[:2] == pair]) for pair in pairs]
    return [*chosen, draw.choice(TF_KERAS_CELLS)]


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Return a function that gives the directory of a run with the same arguments that was never killed."""
    made = {}

    def get(backend, **given):
        key = (backend, str(sorted(given.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("uninterrupted")
            status, output = train(made[key], backend, **given)
            assert status == 0, output
        return made[key]

    return get


def killed_twice(directory, backend, seed, batches=BATCHES, **given):
    """Train, killed at two random batches; each start has other initial weights."""
    draw = random.Random(seed)
    first = draw.randrange(batches // 3, batches - 8)  # by then a save has begun
    second = draw.randrange(1, 8)
    for start, kill_at in enumerate((first, second, None)):
        status, output = train(directory, backend, start=start, kill_at=kill_at, **given)
        assert status == (0 if kill_at is None else -9), output
    return output


@pytest.mark.parametrize(("backend", "data", "save_freq", "background"), _chosen())
def test_a_training_killed_twice_ends_as_if_uninterrupted(
    tmp_path, uninterrupted, backend, data, save_freq, background
):
    path = "{epoch:02d}.keras" if save_freq == "epoch" else "{epoch:02d}-{batch:03d}.keras"
    given = {"data": data, "save_freq": save_freq, "background": background, "path": path}
    killed_twice(tmp_path, backend, f"{backend} {given}", **given)
    assert_same(tmp_path, uninterrupted(backend, data=data))


@pytest.mark.parametrize(
    ("backend", "data", "path", "save_freq"), IN_BUCKETS if sampling.is_whole() else IN_BUCKETS[:1]
)
def test_a_training_into_a_bucket_killed_twice_ends_as_if_uninterrupted(
    tmp_path, uninterrupted, bucket, backend, data, path, save_freq
):
    given = {"data": data, "path": path, "save_freq": save_freq, "weights_only": not path.endswith(".keras")}
    output = killed_twice(tmp_path, backend, f"{backend} {given}", where=bucket, options={"keep_last": 3}, **given)
    assert f"resumed from {bucket}/" in output
    assert_same(tmp_path, uninterrupted(backend, data=data))


CASES = {
    "weights": {"path": "{epoch}.weights.h5", "weights_only": True, "save_freq": 5},
    "one path": {"path": "last.keras", "save_freq": 5},
    "legacy file": {"path": "{epoch}.h5"},
    "legacy weights": {"path": "{epoch}.h5", "weights_only": True, "save_freq": 5},
    "directory": {"path": "{epoch}", "save_freq": 5},
    "directory of weights": {"path": "{epoch}", "weights_only": True, "save_freq": 5},
    "the last batch of an epoch": {"path": "{epoch}-{batch}.keras", "save_freq": 12},
    "callbacks before": {"callbacks": "before", "save_freq": 5},
    "callbacks before, by epoch": {"callbacks": "before"},
    "best only": {"path": "best.keras", "options": {"save_best_only": True}},
    "steps of a longer epoch": {"save_freq": 5, "fit": {"steps_per_epoch": 5}, "epochs": 9},
    "steps of a longer epoch, by epoch": {"fit": {"steps_per_epoch": 5}, "epochs": 9},
    "validation now and then": {"save_freq": 5, "fit": {"validation_freq": 2}},
    "gradient accumulation": {"save_freq": 5, "optimizer": {"gradient_accumulation_steps": 3}},
    "averaged weights": {"optimizer": {"use_ema": True, "ema_momentum": 0.9}},
    "averaged weights, callbacks before": {
        "optimizer": {"use_ema": True, "ema_momentum": 0.9},
        "callbacks": "before",
        "save_freq": 5,
    },
    "weights of classes": {"save_freq": 5, "classes": True, "fit": {"class_weight": {"0": 1.0, "1": 3.0}}},
    "a loader that knows its position": {"data": "StatefulDataLoader", "save_freq": 5},
    "a loader that knows its position, by epoch": {"data": "StatefulDataLoader"},
    "a loader that knows its position, steps of a longer epoch": {
        "data": "StatefulDataLoader",
        "save_freq": 3,
        "fit": {"steps_per_epoch": 5},
        "epochs": 9,
    },
    "grain": {"data": "grain", "save_freq": 5},
    "grain, steps of a longer epoch": {
        "data": "grain",
        "save_freq": 3,
        "fit": {"steps_per_epoch": 5},
        "background": False,  # it is killed so early that a first save in the background might not be durable
    },
    "several steps at once": {"save_freq": 4, "compile": {"steps_per_execution": 2}},
}
ON_TF_KERAS = (
    "weights",
    "one path",
    "legacy file",
    "legacy weights",
    "directory",  # a SavedModel
    "directory of weights",  # a TensorFlow checkpoint
    "callbacks before",
    "best only",
    "steps of a longer epoch",
    "validation now and then",
    "averaged weights",
    "weights of classes",
    "several steps at once",
)
# torch runs one step at a time.
NOT_ON_TORCH = ("torch", "several steps at once")


def _cases_of_fit():
    """Yield each case on each backend, or one case on each."""
    for backend in (*BACKENDS, "tf_keras"):
        there = ON_TF_KERAS if backend == "tf_keras" else [name for name in CASES if (backend, name) != NOT_ON_TORCH]
        tried = there if sampling.is_whole() else random.Random(backend).sample(there, 1)
        yield from ((backend, name) for name in tried)


@pytest.mark.parametrize(("backend", "name"), list(_cases_of_fit()))
def test_with_each_feature_of_fit_a_training_killed_twice_ends_as_if_uninterrupted(
    tmp_path, uninterrupted, backend, name
):
    given = CASES[name]
    # With 12 batches, epochs of 5 steps have 5, 5, and the remaining 2.
    batches = given.get("epochs", 4) * (4 if "steps_per_epoch" in given.get("fit", {}) else 12)
    batches //= given.get("compile", {}).get("steps_per_execution", 1)
    killed_twice(tmp_path, backend, f"{backend} {name}", batches, **given)
    plain = {
        key: given[key]
        for key in ("data", "fit", "compile", "optimizer", "epochs", "callbacks", "classes")
        if key in given
    }
    assert_same(tmp_path, uninterrupted(backend, **plain))
