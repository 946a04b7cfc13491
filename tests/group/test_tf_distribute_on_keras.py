"""Under ``tf.distribute``: all workers take part, only the chief's checkpoints appear, and all resume from them."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from helpers import children
from helpers.kit import TF_KERAS, keras

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute trains with TensorFlow")
several_workers = pytest.mark.skipif(not TF_KERAS, reason="Keras 3 fails at this itself, before any callback is called")

PROCESSES = ThreadPoolExecutor(2)
CHILD = Path(__file__).parents[1] / "helpers" / "distributed_child.py"
FORMATS = [
    ("{epoch}.keras", False, ["1.keras", "2.keras"]),
    ("{epoch}.weights.h5", True, ["1.weights.h5", "2.weights.h5"]),
    ("ck{epoch}", False, ["ck1", "ck2"]),
]
ENDINGS = (".data-00000-of-00002", ".data-00001-of-00002", ".index")
TF_CHECKPOINT = ("ck{epoch}", True, ["checkpoint", *(f"ck{i}{ending}" for i in (1, 2) for ending in ENDINGS)])
ORBAX = ("ck{epoch}", True, ["ck1", "ck2"])


def start(given, cluster=None, index=0):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["LASTGOOD_TEST_RANK"] = str(index)  # a forking process each
    if cluster:
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    return PROCESSES.submit(children.run, ["-W", "ignore", CHILD, json.dumps(given)], env=environment, timeout=240)


def end(process, status=0):
    ended = process.result()
    assert ended.returncode == status, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1]) if status == 0 else None


def free_port():
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def two_workers(given, status=0):
    cluster = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
    workers = [start({**given, "strategy": "workers"}, cluster, index) for index in range(2)]
    return [end(worker, status) for worker in workers]


@pytest.mark.parametrize(("name", "weights_only", "names"), [*FORMATS, TF_CHECKPOINT if TF_KERAS else ORBAX])
def test_two_replicas_in_one_process_save(tmp_path, name, weights_only, names):
    given = {"strategy": "mirrored", "path": str(tmp_path / name), "weights_only": weights_only, "epochs": 2}
    ended = end(start(given))
    assert ended["names"] == names
    if name.endswith(".keras"):
        stock = keras.models.load_model(tmp_path / names[-1])
        assert [weight.tolist() for weight in stock.get_weights()] == ended["weights"]


@pytest.mark.each_backend
def test_two_replicas_in_one_process_resume(tmp_path):
    given = {"strategy": "mirrored", "resume": True, "epochs": 3, "save_freq": 3}
    whole = end(start({**given, "path": str(tmp_path / "a" / "{epoch}-{batch}.keras")}))
    cut = {**given, "path": str(tmp_path / "b" / "{epoch}-{batch}.keras")}
    end(start({**cut, "die_after": 2}), status=9)
    again = end(start({**cut, "seed": 5}))
    assert again["step"] == whole["step"]
    for a, b in zip(again["weights"], whole["weights"], strict=True):
        np.testing.assert_array_equal(a, b)


@several_workers
@pytest.mark.parametrize(("name", "weights_only", "names"), [FORMATS[0], FORMATS[2], TF_CHECKPOINT])
def test_two_workers_save_and_only_the_chiefs_file_appears(tmp_path, name, weights_only, names):
    given = {"path": str(tmp_path / name), "weights_only": weights_only, "epochs": 2}
    chief, other = two_workers(given)
    assert sorted(path.name for path in tmp_path.iterdir()) == names  # also nothing hidden
    assert chief["weights"] == other["weights"]


@several_workers
@pytest.mark.each_backend
def test_two_workers_resume(tmp_path):
    given = {"resume": True, "epochs": 3, "keep_last": 2}
    whole = two_workers({**given, "path": str(tmp_path / "a" / "{epoch}.keras")})
    cut = {**given, "path": str(tmp_path / "b" / "{epoch}.keras")}
    two_workers({**cut, "die_after": 2}, status=9)
    again = two_workers({**cut, "seed": 5})
    for worker, uninterrupted in zip(again, whole, strict=True):
        assert worker["step"] == uninterrupted["step"]
        assert worker["weights"] == uninterrupted["weights"]
    kept = sorted(path.name for path in (tmp_path / "b").iterdir() if not path.name.startswith("."))
    assert set(kept) >= {"2.keras", "3.keras"}


@several_workers
def test_a_signal_is_held_back_in_one_process_but_not_with_several_workers(tmp_path):
    """A worker that saved and stopped by itself would leave the others waiting for it."""
    given = {"resume": True, "epochs": 3, "interrupt_after": 2}
    paths = {name: tmp_path / name for name in ("alone", "workers")}
    end(start({**given, "strategy": "mirrored", "path": str(paths["alone"] / "{epoch}.keras")}), -signal.SIGINT)
    two_workers({**given, "path": str(paths["workers"] / "{epoch}.keras")}, -signal.SIGINT)
    saved = {name: sorted(each.name for each in path.glob("*.keras")) for name, path in paths.items()}
    assert saved == {"alone": ["interrupted-epoch.keras"], "workers": []}
