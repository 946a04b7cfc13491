"""Each example is killed and restarted with the same command, and ends as one that was never killed."""

import sys

import numpy as np
import pytest

import lastgood
from examples import scripts
from helpers.kit import keras

pytest.importorskip("sklearn", reason="scikit-learn is not installed: see pyproject.toml")


@pytest.mark.any_backend
@pytest.mark.long
def test_fine_tuning(tmp_path):
    def run(directory, **options):
        return scripts.run("fine_tuning", tmp_path / directory, "--epochs", 2, IMAGES=500, **options)

    whole = run("whole")
    run("cut", killed_at=2)  # in the second of three phases
    resumed = run("cut")
    assert [line for line in resumed.splitlines() if "resumed from" not in line] == whole.splitlines()
    assert "pretrained.keras: the run has ended" in resumed
    assert "head.keras: epoch 2, batch 7 of 13" in resumed
    for name in ("pretrained", "head", "fine-tuned"):
        scripts.assert_same_model(tmp_path / f"whole/{name}.keras", tmp_path / f"cut/{name}.keras")


@pytest.mark.any_backend
@pytest.mark.long
def test_text_transformer(tmp_path):
    def run(directory, **options):
        small = {"CHARACTERS": 6_000, "CONTEXT": 8, "WIDTH": 8, "BLOCKS": 1}
        return scripts.run("text_transformer", tmp_path / directory, "--epochs", 2, **small, **options)

    whole = run("whole")
    run("cut", killed_at=2)
    resumed = run("cut")
    assert "resumed from" in resumed
    assert resumed.splitlines()[-2:] == whole.splitlines()[-2:]
    one, other = [lastgood.open_run(tmp_path / each) for each in ("whole", "cut")]
    assert [each.path.name for each in one.checkpoints] == [each.path.name for each in other.checkpoints]
    for a, b in zip(one.checkpoints, other.checkpoints, strict=True):
        scripts.assert_same_model(a.path, b.path)


@pytest.mark.long
@pytest.mark.skipif(scripts.BACKEND == "jax", reason="on jax, fit() updates the state of one optimizer")
def test_gan(tmp_path):
    def run(directory, **options):
        return scripts.run("gan", tmp_path / directory, "--epochs", 7, IMAGES=400, **options)  # 7 batches an epoch

    whole = run("whole")
    run("cut", killed_at=1)
    resumed = run("cut")
    assert "epoch 3, batch 6 of 7" in resumed
    assert resumed.splitlines()[-8:] == whole.splitlines()[-8:]
    one, other = [lastgood.open_run(tmp_path / each).latest.path for each in ("whole", "cut")]
    assert one.name == other.name == "007.weights.h5"
    scripts.assert_same_arrays(one, other)
    scripts.assert_same_model(tmp_path / "whole/generator.keras", tmp_path / "cut/generator.keras")
    gan = scripts.imported("gan").Gan()
    gan.compile()
    gan.load_weights(one)  # with stock Keras
    written = keras.models.load_model(tmp_path / "whole/generator.keras").get_weights()
    for a, b in zip(gan.generator.get_weights(), written, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(scripts.BACKEND != "jax", reason="written in jax")
@pytest.mark.long
def test_jax_loop(tmp_path):
    def run(directory, **options):
        return scripts.run(
            "jax_loop", tmp_path / directory, "--epochs", 4, IMAGES=500, **options
        )  # 12 batches an epoch

    whole = run("whole")
    run("cut", killed_at=1)
    resumed = run("cut")
    assert "Training steps 1 to 48." in whole
    assert "Training steps 21 to 48." in resumed
    scripts.assert_same_arrays(tmp_path / "whole/000048.weights.h5", tmp_path / "cut/000048.weights.h5")
    scripts.assert_same_model(tmp_path / "whole/trained.keras", tmp_path / "cut/trained.keras")


@pytest.mark.any_backend
@pytest.mark.long
def test_tuner_search(tmp_path):
    pytest.importorskip("keras_tuner", reason="keras-tuner is not installed: see pyproject.toml")

    def run(directory, **options):
        given = ("--epochs", 2, "--trials", 2)
        return scripts.run("tuner_search", tmp_path / directory, *given, IMAGES=200, **options)

    whole = run("whole").splitlines()
    for killed_at in (1, 2):  # in the first trial, and in the second one
        run("cut", killed_at=killed_at)
    resumed = run("cut")
    assert "epoch 1 is done" in resumed
    assert resumed.splitlines()[-3:] == whole[-3:]  # the scores, the hyperparameters, and the best model


@pytest.mark.skipif(scripts.BACKEND == "tensorflow", reason="tried on the others")
@pytest.mark.parametrize("name", ["gan" if scripts.BACKEND == "jax" else "jax_loop"])
def test_an_example_for_another_backend_says_which_one_to_set(tmp_path, name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit, match=r"Set KERAS_BACKEND to"):
        scripts.imported(name).main(["--directory", str(tmp_path)])
