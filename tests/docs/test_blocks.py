"""Every code block of the documents runs, and prints what is shown."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from docs.pages import ROOT, all_pages, blocks_of, pairs, text_of
from helpers import children

pytestmark = pytest.mark.all_parameters

BLOCKS = sorted({block for page in all_pages() for block in blocks_of(page)})
DEMO = "make demo\n"
PIP = r'pip install "lastgood\[([\w-]+)\]"\n'
# Blocks of text, by how they begin, and the test that compares them with what is printed or exists.
SHOWN = {
    "$ python train.py\n": "test_a_killed_and_restarted_training_prints_what_is_shown",
    "$ lastgood ls runs/first\n": "test_a_killed_and_restarted_training_prints_what_is_shown",
    "$ lastgood ls digits\n": "tests/cli/test_command.py",
    "__main__.py ": "tests/test_package.py",
    "ModelCheckpoint(filepath, ": "tests/docs/test_contract_page.py",
    "fit -hook->": "a drawing",
    "model-07.keras ": "a drawing",
}
# What MLflow needs to write to files, so that a block needs no server.
MLFLOW = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": "mlruns"}


def _written_in(language):
    return [code for each, code in BLOCKS if each == language]


@pytest.mark.parametrize(("english", "chinese"), list(pairs()))
def test_both_languages_have_the_same_blocks_and_sections(english, chinese):
    assert blocks_of(english) == blocks_of(chinese)
    for mark in (r"^#+ ", r"^\|", r"^ *- ", r"^\d+\. ", r"^!\["):
        counts = [len(re.findall(mark, text_of(name), re.M)) for name in (english, chinese)]
        assert counts[0] == counts[1], mark


def _params(language):
    """Return blocks as parameters: of those that train, ``make test`` runs only the README's, without the demo."""
    trains = set(_written_in("python")) - {code for _, code in blocks_of("README.md")} | {DEMO}
    return [pytest.param(code, marks=pytest.mark.long if code in trains else ()) for code in _written_in(language)]


@pytest.mark.parametrize("code", _params("python"))
def test_python_block_runs(code, tmp_path):
    done = children.run(["-W", "ignore", "-c", code], cwd=tmp_path, env={**os.environ, **MLFLOW})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", _params("bash"))
def test_shell_block_runs(code):
    """``make demo`` is run. ``make test`` runs this test, so that command is only a dry run."""
    if extra := re.fullmatch(PIP, code):
        project = tomllib.loads(text_of("pyproject.toml"))["project"]
        assert extra[1] in project["optional-dependencies"]
        return
    command = ["make", "--dry-run", "test"] if code == "make test\n" else ["bash", "-euc", code]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if code == DEMO:
        assert "with and without the power cut: bit-equal" in done.stdout
        assert re.search(r"loaded with stock Keras: 0\.9\d+ accuracy on 360 held-out images", done.stdout)


@pytest.mark.parametrize("code", _written_in("diff"))
def test_both_sides_of_a_change_run(code, tmp_path):
    for side in "-+":
        lines = [line[1:] for line in code.splitlines() if line[0] in f"{side} "]
        done = children.run(["-c", "\n".join(lines)], cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_code_blocks_have_no_other_language():
    assert {language for language, _ in BLOCKS} == {"python", "bash", "diff", "text"}
    assert DEMO in _written_in("bash")
    for code in _written_in("text"):
        assert any(code.startswith(beginning) for beginning in SHOWN), code


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "first_saved"), [("README.md", "runs/2.keras"), ("docs/en/start/quickstart.md", "runs/first/003.keras")]
)
def test_a_killed_and_restarted_training_prints_what_is_shown(page, first_saved, tmp_path):
    blocks = blocks_of(page)
    code = next(code for language, code in blocks if language == "python" and "resume=True" in code)
    (tmp_path / "train.py").write_text(code)
    mine = [
        start for start, test in SHOWN.items() if test == "test_a_killed_and_restarted_training_prints_what_is_shown"
    ]
    shown = "".join(code for _, code in blocks if code.startswith(tuple(mine)))
    printed = []
    for command in re.findall(r"^\$ (.*)$", shown, re.M):
        process = _start(command, tmp_path)
        printed.append(f"$ {command}")
        if len(printed) == 1:
            _kill_when_there(process, tmp_path / first_saved)
            printed.append("Killed")
        printed += process.communicate(timeout=120)[0].splitlines()
    expected = [_without_numbers(line) for line in shown.splitlines()]
    assert [_without_numbers(line, tmp_path) for line in printed] == expected


def _start(command, directory):
    """Start a command of the documents: `python …` or `lastgood …`."""
    name, *arguments = command.split()
    line = [sys.executable, *(["-m", "lastgood"] if name == "lastgood" else []), *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(line, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)


def _kill_when_there(process, path):
    """Kill a training once a checkpoint is there."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)


def _without_numbers(line, home="/home/you"):
    """Return the words of a line, without what differs from run to run."""
    line = re.sub(r"\bepoch \d+(, batch \d+ of \d+| is done)", "epoch …", line.replace(f"{home}/", ""))
    return re.sub(r"\d+(\.\d+)?( (kB|min|s)\b)?", "#", line).split()
