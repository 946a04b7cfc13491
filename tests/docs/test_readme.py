"""Every code block of the documentation runs, and its figures are those of the benchmarks."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import children

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
FORMS = ("TensorFlow checkpoint", "SavedModel", ".h5 model", ".keras", ".weights.h5")  # of tf_keras, in its table


def _blocks(name):
    return re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)


BLOCKS = sorted({block for name in (*READMES, "FORMAT.md", "GUARANTEES.md") for block in _blocks(name)})


def test_both_readmes_have_the_same_blocks_and_sections():
    assert _blocks("README.md") == _blocks("README.zh-CN.md")
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    for mark in (r"^#+ ", r"^\|", r"^- "):
        assert len(re.findall(mark, english, re.M)) == len(re.findall(mark, chinese, re.M))


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_python_block_runs(code, tmp_path):
    done = children.run(["-c", code], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "bash"])
def test_shell_block_runs(code):
    """``make demo`` is run. ``make test`` is what runs this, so of that one make only says what it would do."""
    command = ["make", "--dry-run", "test"] if code == "make test\n" else ["bash", "-euc", code]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if code == "make demo\n":
        assert "with and without the power cut: bit-equal" in done.stdout
        assert re.search(r"loaded with stock Keras: 0\.9\d+ accuracy on 360 held-out images", done.stdout)


def test_there_is_no_other_language():
    """What the command prints, a ``text``, is compared in ``tests/cli``."""
    assert {language for language, _ in BLOCKS} == {"python", "bash", "text"}
    assert "make demo\n" in {code for _, code in BLOCKS}


def test_the_argument_table_names_every_argument():
    import inspect

    from lastgood import ModelCheckpoint

    parameters = inspect.signature(ModelCheckpoint).parameters.values()
    arguments = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in READMES:
        rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", (ROOT / name).read_text(encoding="utf-8"), re.M)
        assert rows == [(p.name, "" if p.default is p.empty else repr(p.default).replace("'", '"')) for p in arguments]


def test_the_figures_are_those_of_the_benchmark():
    results = json.loads((ROOT / "benchmarks" / "results" / "saves.json").read_text())["backends"]
    columns = (
        "stock .keras",
        "lastgood .keras",
        "stock .weights.h5",
        "lastgood .weights.h5",
        "OrbaxCheckpoint",
    )
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        rows = {
            row[0]: row[1:] for row in re.findall(r"^\| (jax|torch|tensorflow)" + r" \| ([\d.]+) s" * 5, text, re.M)
        }
        expected = {
            backend: tuple(f"{result['fit'][column]['median']:.2f}" for column in columns)
            for backend, result in results.items()
        }
        assert rows == expected


def test_the_figures_of_tf_keras_are_those_of_its_benchmark():
    fit = json.loads((ROOT / "benchmarks" / "results" / "tf_keras.json").read_text())["fit"]
    expected = [tuple(f"{fit[f'{who} {form}']['median']:.2f}" for who in ("stock", "lastgood")) for form in FORMS]
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"^\| [^|]+ \| ([\d.]+) s \| ([\d.]+) s \|$", text, re.M) == expected


def test_the_table_of_faults_is_what_was_found():
    command = [sys.executable, "-c", "from scenarios.crash import table; print(*table.table(), sep='\\n')"]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True)
    assert done.stdout in (ROOT / "GUARANTEES.md").read_text(encoding="utf-8")


def test_the_tests_that_the_guarantees_name_are_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "GUARANTEES.md").read_text(encoding="utf-8")))
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src/lastgood/testing/conformance").glob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in files]
    there = {name for source in sources for name in re.findall(r"^(?:    )?def (test_\w+)", source, re.M)}
    assert named
    assert named <= there
