"""Weights in a directory that two processes of two devices each write together, each the parts that it holds."""

import json
import subprocess
import sys
from contextlib import ExitStack

import keras
import numpy as np
import pytest

import lastgood
from helpers import servers
from lastgood import open_run

from . import harness
from .test_jax_on_keras import names, separate_disks, trained

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution over processes needs jax")
SPLIT = {"kind": "model_parallel", "mesh": [1, 4], "save_freq": 3}
KINDS = [{"kind": "data_parallel", "save_freq": 3, "apart": 1}, SPLIT]
WEIGHTS = {"resume": True, "save_weights_only": True}


def model():
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, name="wide"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, name="narrow"),
    ]
    made = keras.Sequential(layers, name="sequential")
    made.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    made.optimizer.build(made.trainable_variables)
    return made


def newest(path):
    return open_run(str(path)).latest.path


def holds(made, weights):
    for mine, theirs in zip(made.weights, weights, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.float32(theirs).astype(mine.dtype))


def test_each_process_writes_its_parts_and_stock_keras_loads_the_directory(tmp_path):
    given = {**SPLIT, "epochs": 1, "save_freq": "epoch", "path": str(tmp_path / "at{epoch}"), "arguments": WEIGHTS}
    first, second = harness.results(given)
    saved = newest(tmp_path)
    assert first["weights"] == second["weights"]
    assert len(list(saved.glob("pytree/trainable_variables.sequential.wide.kernel/c.*"))) == 4
    keras.backend.clear_session()  # stock Keras finds an optimizer's variables by its automatic name
    stock = model()
    stock.load_weights(saved)
    holds(stock, first["weights"])
    assert int(stock.optimizer.iterations.value) == 4
    ours = model()
    lastgood.load_weights(ours, saved)
    holds(ours, first["weights"])
    assert int(ours.optimizer.iterations.value) == 4
    assert open_run(str(tmp_path)).verify() == []


def command(*arguments):
    given = [sys.executable, "-m", "lastgood", *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_commands_read_the_parts_as_one_array_each(tmp_path):
    given = {**SPLIT, "epochs": 2, "save_freq": "epoch", "path": str(tmp_path / "at{epoch}"), "arguments": WEIGHTS}
    weights = harness.results(given)[0]["weights"]
    saved = tmp_path / "at2"
    shown = json.loads(command("show", saved, "--json").stdout)
    kernel = next(each for each in shown["arrays"] if each["name"] == "layers/dense/vars/0")
    assert kernel["shape"] == [4, 8]
    assert kernel["high"] == pytest.approx(np.max(weights[0]), rel=1e-6)
    compared = json.loads(command("diff", tmp_path / "at1", saved, "--json").stdout)
    assert {each["what"] for each in compared["arrays"] if each["name"].startswith("layers/")} == {"changed"}
    exported = [tmp_path / "m.keras", tmp_path / "m.weights.h5"]
    for target in exported:
        assert command("export", saved, "--to", target).returncode == 0
    loaded = keras.saving.load_model(exported[0])
    holds(loaded, weights)
    assert int(loaded.optimizer.iterations.value) == 8
    stock = keras.Sequential([keras.Input((4,)), *model().layers])
    stock.load_weights(exported[1])
    holds(stock, weights)

    part = saved / "pytree/trainable_variables.sequential.wide.kernel/c.0.2"
    part.write_bytes(bytes(len(part.read_bytes())))
    checked = command("verify", saved)
    assert checked.returncode == 1
    assert "sequential.wide.kernel/c.0.2" in checked.stdout


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["kind"])
def test_two_processes_killed_in_an_epoch_end_as_if_uninterrupted(tmp_path, kind):
    given = {**kind, "arguments": WEIGHTS}
    whole = harness.results({**given, "path": str(tmp_path / "a" / "at{epoch}-{batch}")})
    cut = {**given, "path": str(tmp_path / "b" / "at{epoch}-{batch}"), "lags": 0.2}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 5})) == trained(whole)


@pytest.mark.long
def test_a_directory_is_restored_bit_equal_on_another_mesh(tmp_path):
    given = {**SPLIT, "save_freq": 4, "epochs": 1, "arguments": WEIGHTS, "path": str(tmp_path / "at{epoch}-{batch}")}
    saved = harness.results(given)[0]["weights"]
    for mesh, devices, size in (([2, 2], 2, 2), ([4, 1], 4, 1), ([1, 1], 1, 1)):
        for each in harness.results({**given, "mesh": mesh, "devices": devices, "seed": 3}, size=size):
            assert each["weights"] == saved
            assert each["step"] == 4


@pytest.fixture(params=["s3", "az"])
def bucket(request, tmp_path, monkeypatch):
    """The URL of a bucket on a server on loopback."""
    with ExitStack() as running:
        if request.param == "s3":
            environment = servers.environment(running.enter_context(servers.seaweedfs(tmp_path)))
        elif servers.azurite() is None:
            pytest.skip("Azurite is not installed (npm install -g azurite)")
        else:
            environment = running.enter_context(servers.azure(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"{request.param}://{servers.BUCKET}"


@pytest.mark.long
def test_two_processes_write_to_a_bucket_and_resume_from_it(bucket):
    given = {**SPLIT, "arguments": WEIGHTS}
    whole = harness.results({**given, "path": f"{bucket}/a/at{{epoch}}-{{batch}}"})
    cut = {**given, "path": f"{bucket}/b/at{{epoch}}-{{batch}}", "lags": 0.5}
    assert [each.returncode for each in harness.run({**cut, "die_after": 7})] == [9, 9]
    assert trained(harness.results({**cut, "seed": 5})) == trained(whole)
    ours = model()
    lastgood.load_weights(ours, newest(f"{bucket}/b"))
    holds(ours, whole[0]["weights"])
    assert open_run(f"{bucket}/b").verify() == []


@pytest.mark.long
def test_a_process_that_hangs_before_it_writes_fails_the_save_on_all(tmp_path):
    given = {**SPLIT, "arguments": WEIGHTS, "path": str(tmp_path / "at{epoch}"), "timeout": 2}
    first, second = harness.run({**given, "process 1": {"holds": 3, "sleeps": 8}})
    assert (first.returncode, second.returncode) != (0, 0)
    assert "Process 1 has not sent its part of the model's state for 2 s" in first.stderr
    assert names(tmp_path) == ["at1"]


@separate_disks
def test_a_directory_that_the_other_process_does_not_see_is_refused_before_training(tmp_path):
    given = {**SPLIT, "arguments": WEIGHTS, "local": str(tmp_path / "local")}
    for each in harness.run({**given, "path": str(tmp_path / "local" / "at{epoch}")}):
        assert each.returncode == 1
        assert "use a shared file system" in each.stderr
        assert "saving model to" not in each.stdout
