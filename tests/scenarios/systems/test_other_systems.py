"""macOS and Windows, simulated: the suites that need no framework, trainings, and what these systems refuse."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from helpers import elsewhere, sampling

TESTS = Path(__file__).parents[2]
SYSTEMS = ["windows", "macos"]
# The framework-free tests that depend most on the system; `make systems` runs all of them, and trains in all formats.
SUITES = ["storage/test_local.py", "storage/test_conformance.py", "storage/test_claims.py", "saving/test_writer.py"]
WHOLE = sampling.is_whole()
TRAININGS = [(system, ending) for ending in (".keras", ".weights.h5", "") for system in SYSTEMS]


def child(system, *command, **environment):
    """Run Python as on another system."""
    environment = {**elsewhere.environment(system), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def train(system, directory, ending, epochs, **environment):
    """Train as on another system; return the exit status, the lines that it printed, and its errors."""
    script = Path(__file__).with_name("training.py")
    done = child(system, script, directory, ending, epochs, KERAS_BACKEND="jax", **environment)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, said, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_suites_that_need_no_framework_pass_on_other_systems(system):
    without = [f"--ignore={TESTS / name}" for name in ("scenarios", "on_tf_keras", "cli", "docs")]
    chosen = [TESTS, *without] if WHOLE else [TESTS / name for name in SUITES]
    chosen += [] if WHOLE else ["-k", "not Memory and not Faulty and not concurrent"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", TESTS.parent, *chosen]
    done = child(system, *command, LASTGOOD_MATRIX="whole")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.long
@pytest.mark.parametrize(("system", "ending"), TRAININGS)
def test_a_killed_training_resumes_exactly_on_other_systems(system, ending, tmp_path):
    if not ending:
        pytest.importorskip("orbax.checkpoint")
    status, said, errors = train(system, tmp_path / "a", ending, 4, KILL_AT="2")
    assert (status, said[-1]) == (9, {"epoch": 2}), errors
    status, (first, *_, ended), errors = train(system, tmp_path / "a", ending, 4)
    assert (status, first) == (0, {"epoch": 2}), errors
    assert ended["checkpoints"] == [f"03{ending}", f"04{ending}"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".lastgood", f"03{ending}", f"04{ending}"]
    used = {"windows": ("moves", "locks"), "macos": ("full syncs",)}
    assert all(ended["used"][what] for what in used[system])
    if ending == ".keras":
        _, (*_, whole), _ = train(system, tmp_path / "b", ending, 4)
        assert whole["weights"] == ended["weights"]
        stock = keras.models.load_model(tmp_path / "a" / "04.keras")
        assert [weight.tolist() for weight in stock.get_weights()] == ended["weights"]


@pytest.mark.long
def test_on_windows_pruning_leaves_only_a_checkpoint_that_another_program_has_open(tmp_path):
    """Windows does not delete a file while it is open."""
    status, (*_, ended), errors = train("windows", tmp_path, ".keras", 4, OPEN_AT="1")
    assert status == 0, errors
    assert ended["checkpoints"] == ["01.keras", "03.keras", "04.keras"]
    assert "Could not prune" in errors
    assert "01.keras" in errors


def test_names_that_windows_does_not_allow_are_refused_by_the_constructor():
    flaws = {
        "runs/a:b.keras": "does not allow ':'",
        "runs/what?.keras": "does not allow '?'",
        "runs./{epoch}.keras": "drops a dot",
        "runs/NUL.keras": "for a device",
        "runs\\com1\\{epoch}.keras": "for a device",
    }
    script = """if True:
        import sys, lastgood
        lastgood.ModelCheckpoint("../runs/{epoch:02d}-{val_loss:.2f}.keras")
        for filepath in sys.argv[1:]:
            try:
                lastgood.ModelCheckpoint(filepath)
            except lastgood.ArgumentError as error:
                print(error)
    """
    done = child("windows", "-c", script, *flaws, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    for told, (filepath, flaw) in zip(done.stdout.splitlines(), flaws.items(), strict=True):
        assert told.startswith(f"filepath {filepath.replace(chr(92), '/')!r} cannot be saved to: Windows ")
        assert flaw in told
