"""Each command on a trained run, with its output as a table and as JSON."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from helpers import children
from lastgood import ModelCheckpoint, load_weights, open_run


def lines(text):
    return [re.sub(r" +", " ", line).strip() for line in text.splitlines()]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_ls(run, command):
    size = f"{(run / '02.keras').stat().st_size / 1000:.1f} kB"
    told = [re.sub(r"\d+ (s|min)\b", "AGE", line) for line in lines(command("ls", "digits"))]
    assert told == [
        "step epoch batch loss val_loss size age checkpoint",
        f"20 2 0.25 0.5 {size} AGE 02.keras pinned",
        f"40 4 0.2 0.4 {size} AGE 04.keras best",
        f"50 5 0.3 0.6 {size} AGE 05.keras",
        f"60 6 0.4 0.8 {size} AGE 06.keras latest",
    ]


def test_ls_as_json(run, command):
    found = json.loads(command("ls", "digits", "--json"))
    assert [each["path"] for each in found] == ["02.keras", "04.keras", "05.keras", "06.keras"]
    best = found[1]
    assert best.pop("created") == pytest.approx(time.time(), abs=600)
    assert best == {
        "path": "04.keras",
        "format": "keras",
        "step": 40,
        "epoch": 4,
        "batch": None,
        "metrics": {"loss": 0.2, "val_loss": 0.4},
        "size": (run / "04.keras").stat().st_size,
        "shared": 0,
        "best": True,
        "latest": False,
        "pinned": False,
    }


def test_ls_shows_how_much_a_checkpoint_shares_with_earlier_ones(run, command):
    opened = open_run(run)
    *_, latest = opened.checkpoints
    opened.journal.append("save", path="06.keras", created=latest.created, costs={"shared": 12_000})
    size = f"{latest.size / 1000:.1f} kB"
    told = [re.sub(r"\d+ (s|min)\b", "AGE", line) for line in lines(command("ls", "digits"))]
    assert told[0] == "step epoch batch loss val_loss size shared age checkpoint"
    assert told[-2].endswith("kB 0 B AGE 05.keras")
    assert told[-1] == f"60 6 0.4 0.8 {size} 12.0 kB AGE 06.keras latest"


def test_a_file_saved_by_stock_keras_is_listed_without_a_step(run, command):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(run / "stock.keras")
    assert lines(command("ls", "digits"))[1].endswith("stock.keras")
    assert json.loads(command("ls", "digits", "--json"))[0]["step"] is None


def test_show(run, command):
    open_run(run).attach("06.keras", {"late": 0.125})
    told = lines(command("show", "digits/06.keras"))
    assert "step 60" in told
    assert "metrics loss 0.4, val_loss 0.8, late 0.125" in told
    (kernel,) = [line for line in told if line.startswith("layers/dense/vars/0")]
    assert kernel.startswith("layers/dense/vars/0 float32 [4, 6] ")
    assert told[-1] == "every number is finite"


def test_show_counts_nan_and_infinite_values(run, command, tmp_path):
    model = keras.models.load_model(run / "06.keras")
    weights = model.get_weights()
    weights[0][0, :3] = np.nan, np.inf, np.nan
    model.set_weights(weights)
    model.save(tmp_path / "sick.keras")
    assert "1 of " in command("show", "sick.keras").splitlines()[-1]
    found = json.loads(command("show", "sick.keras", "--json"))
    (kernel,) = [each for each in found["arrays"] if each["name"] == "layers/dense/vars/0"]
    assert (kernel["nan"], kernel["inf"], found["record"]) == (2, 1, None)
    finite = weights[0][np.isfinite(weights[0])]
    assert kernel["mean"] == pytest.approx(finite.mean(), rel=1e-5)


def test_verify(run, command):
    assert command("verify", "digits") == "4 of 4 checkpoints are intact\n"
    damage(run / "05.keras")
    told = command("verify", "digits", status=1)
    assert "digits/05.keras: It is damaged in " in told
    assert told.endswith("3 of 4 checkpoints are intact\n")
    found = json.loads(command("verify", "digits/05.keras", "digits/06.keras", "--json", status=1))
    assert found["checked"] == 2
    assert [each["path"] for each in found["problems"]] == ["digits/05.keras"]


def test_diff(run, command, tmp_path):
    told = lines(command("diff", "digits/05.keras", "digits/06.keras"))
    assert told[-1].endswith(" arrays and 0 settings differ")
    (kernel,) = [line for line in told if line.startswith("layers/dense/vars/0 changed ")]
    a, b = (keras.models.load_model(run / name).get_weights()[0] for name in ("05.keras", "06.keras"))
    assert float(kernel.split()[2]) == pytest.approx(np.linalg.norm(b - a), rel=1e-3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "tanh", name="hidden")])
    model.save(tmp_path / "other.keras")
    found = json.loads(command("diff", "digits/04.keras", "other.keras", "--json"))
    assert {"place": "/config/layers/1/config/activation", "a": "relu", "b": "tanh"} in found["config"]
    assert "only in A" in {each["what"] for each in found["arrays"]}
    assert json.loads(command("diff", "digits/04.keras", "digits/04.keras", "--json"))["arrays"][0]["what"] == "same"


def test_prune(run, command):
    told = command("prune", "digits", "--keep-last", 1, "--dry-run")
    size = f"{(run / '05.keras').stat().st_size / 1000:.1f} kB"
    assert told == f"would delete 05.keras\n1 checkpoint, {size}; 3 kept\n"
    assert (run / "05.keras").exists()
    found = json.loads(command("prune", "digits", "--keep-every", "1000d", "--json"))
    assert (run / "04.keras").exists()
    assert found["would_delete"] == []
    assert not any((run / name).exists() for name in found["deleted"])
    assert "No retention rule is given" in command("prune", "digits", status=2)
    assert "Unrecognized --keep-every: 'often'" in command("prune", "digits", "--keep-every", "often", status=2)


def test_pin_and_unpin(run, command):
    assert command("pin", "digits/05.keras") == "pinned digits/05.keras\n"
    assert command("unpin", "digits/02.keras") == "unpinned digits/02.keras\n"
    assert json.loads(command("pin", "digits/04.keras", "--json"))["pinned"][0]["path"] == "digits/04.keras"
    assert "unpinned" in json.loads(command("unpin", "digits/04.keras", "--json"))
    pinned = {each["path"] for each in json.loads(command("ls", "digits", "--json")) if each["pinned"]}
    assert pinned == {"05.keras"}
    assert "There is no checkpoint" in command("pin", "digits/01.keras", status=2)


def rebuilt(run, compiled=False):
    model = keras.models.load_model(run / "06.keras", compile=compiled)
    model.set_weights([0 * weight for weight in model.get_weights()])
    return model


def test_export_to_weights(run, command, tmp_path):
    assert command("export", "digits/06.keras", "--to", "w.weights.h5").startswith("wrote w.weights.h5: ")
    model = rebuilt(run)  # not compiled: an optimizer would miss its state
    model.load_weights(tmp_path / "w.weights.h5")
    for ours, theirs in zip(model.get_weights(), keras.models.load_model(run / "06.keras").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with h5py.File(tmp_path / "w.weights.h5") as file:
        assert "optimizer" not in file
        assert "_lastgood" not in file
    load_weights(rebuilt(run), tmp_path / "w.weights.h5")


def test_export_in_half_precision_and_with_the_optimizer(run, command, tmp_path):
    command("export", "digits/06.keras", "--to", "half.weights.h5", "--half", "--optimizer")
    with h5py.File(tmp_path / "half.weights.h5") as file:
        assert file["layers/dense/vars/0"].dtype == "float16"
        assert "optimizer" in file
    model = rebuilt(run, compiled=True)
    model.load_weights(tmp_path / "half.weights.h5")
    good = keras.models.load_model(run / "06.keras").get_weights()[0]
    np.testing.assert_allclose(model.get_weights()[0], good, rtol=1e-3)


def test_export_of_a_directory_of_a_model_to_one_file(run, command, tmp_path):
    model = keras.models.load_model(run / "06.keras")
    callback = ModelCheckpoint(tmp_path / "whole")
    callback.set_model(model)
    callback.on_epoch_end(0, {})
    callback.wait()
    command("export", "whole", "--to", "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    for ours, theirs in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert "has no model" in command("export", "whole/model.weights.h5", "--to", "m.keras", status=2)


def test_export_to_safetensors(run, command, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    command("export", "digits/06.keras", "--to", "w.safetensors")
    found = safetensors.load_file(tmp_path / "w.safetensors")
    good = keras.models.load_model(run / "06.keras").get_weights()
    assert sorted(found) == [f"layers/{name}/vars/{i}" for name in ("dense", "dense_1") for i in (0, 1)]
    np.testing.assert_array_equal(found["layers/dense_1/vars/1"], good[3])


def test_export_and_average_print_the_written_file_as_json(run, command, tmp_path):
    for line in (["export", "digits/06.keras"], ["average", "digits/05.keras", "digits/06.keras"]):
        found = json.loads(command(*line, "--to", "w.weights.h5", "--json"))
        assert found == {"wrote": [{"path": "w.weights.h5", "size": (tmp_path / "w.weights.h5").stat().st_size}]}


def test_export_refuses_an_unknown_ending_or_a_missing_checkpoint(run, command):
    assert "must end in" in command("export", "digits/06.keras", "--to", "w.onnx", status=2)
    assert "There is no checkpoint" in command("export", "digits/77.keras", "--to", "w.safetensors", status=2)


@pytest.mark.parametrize("target", ["mean.weights.h5", "mean.keras"])
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_average(run, command, tmp_path, target):
    names = ["04.keras", "05.keras", "06.keras"]
    command("average", *(f"digits/{name}" for name in names), "--to", target)
    all_weights = [keras.models.load_model(run / name).get_weights() for name in names]
    if target.endswith(".keras"):
        model = keras.models.load_model(tmp_path / target)
    else:
        model = rebuilt(run)
        model.load_weights(tmp_path / target)
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(weight, np.mean([each[i] for each in all_weights], axis=0), rtol=1e-6)


def test_average_refuses_checkpoints_of_different_models(run, command, tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)]).save(tmp_path / "other.keras")
    told = command("average", "digits/04.keras", "other.keras", "--to", "mean.weights.h5", status=2)
    assert "are of different models: they differ in 'layers/dense" in told
    assert not (tmp_path / "mean.weights.h5").exists()


def test_watch(run, command):
    told = command("watch", "digits", "--looks", 2, "--every", 0.1)
    assert "04.keras" in told
    looked = command("watch", "digits", "--looks", 1, "--every", 0.1, "--json")
    assert json.loads(looked)[1]["best"]


def test_a_missing_run_is_reported(command):
    assert "There is no directory 'nowhere'" in command("ls", "nowhere", status=2)
    assert "There is no run or checkpoint 'nowhere'" in command("verify", "nowhere", status=2)


def test_commands_that_only_read_import_no_framework(run):
    """This keeps them fast; ``make bench-command`` measures it."""
    code = """
        import sys, lastgood._cli.app as app
        sys.argv = ["lastgood", *sys.argv[1:]]
        try:
            app.main()
        except SystemExit as end:
            assert not end.code, end.code
        assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules), "a framework was imported"
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    for arguments in (
        ["ls", run],
        ["show", run / "06.keras"],
        ["verify", run / "06.keras"],
        ["diff", run / "04.keras", run / "06.keras"],
    ):
        line = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout


def test_shell_completion_is_offered(command):
    assert "--install-completion" in command("--help")


def test_the_guide_and_the_readme_show_the_actual_output(run, command):
    """Except for sizes and ages, which vary."""
    root = Path(__file__).parents[2]
    guide, readme = (
        re.search(
            r"^```text\n(\$ lastgood ls digits\n.*?)^```", (root / name).read_text(encoding="utf-8"), re.M | re.S
        )[1]
        for name in ("docs/en/guides/command-line.md", "README.md")
    )
    assert guide.startswith(readme)
    shown = lines(guide)
    printed = []
    for line in shown:
        if line.startswith("$ lastgood "):
            printed += [line, *lines(command(*line.split()[2:]))]
    assert [_timeless(line) for line in printed] == [_timeless(line) for line in shown]
    assert len(printed) > 8


def _timeless(line):
    return re.sub(r"[\d.]+ (kB|min|s)\b", r"_", line)


def test_demo(tmp_path):
    line = ["-m", "lastgood", "demo", "d", "--epochs", "3"]
    done = children.run(line, cwd=tmp_path)
    assert "03.keras" in done.stdout
    assert done.stdout.endswith("Try: lastgood show d/03.keras, or: lastgood report d\n")
    done = children.run([*line, "--json"], cwd=tmp_path)
    assert [each["path"] for each in json.loads(done.stdout[done.stdout.index("[") :])][-1] == "03.keras"
