"""The command, on the formats whose arrays only TensorFlow reads."""

import subprocess
import sys

import pytest

from lastgood import ModelCheckpoint


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "lastgood", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "weights_only"), [("w.ckpt", True), ("saved", False)])
def test_the_record_is_shown_and_arrays_that_only_tensorflow_reads_are_a_clear_error(
    fit, make_model, tmp_path, name, weights_only
):
    fit(make_model(), [ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)])
    fit(make_model(), [ModelCheckpoint(tmp_path / "other.weights.h5", save_weights_only=True)])
    status, text = command("ls", tmp_path)
    assert (status, name in text) == (0, True)
    status, text = command("show", tmp_path / name)
    assert (status, "only TensorFlow can read its arrays" in text, "step      10" in text) == (0, True, True)
    status, text = command("verify", tmp_path / name)
    assert (status, text.strip()) == (0, "1 of 1 checkpoints are intact")  # an older rich puts an empty line before it
    for rest in (
        ("diff", tmp_path / name, tmp_path / "other.weights.h5"),
        ("average", tmp_path / name, tmp_path / "other.weights.h5", "--to", tmp_path / "average.weights.h5"),
        ("export", tmp_path / name, "--to", tmp_path / "x.safetensors"),
    ):
        status, text = command(*rest)
        assert status != 0
        told = " ".join(text.split())
        assert "Only TensorFlow reads the arrays of" in told
        assert "save the model as .weights.h5" in told
        assert "Traceback" not in text
    assert not list(tmp_path.glob("average*"))
    assert not list(tmp_path.glob("*.safetensors"))
