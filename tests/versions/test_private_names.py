"""Private names of Keras: each exists, and if one has moved, saves and restarts do without it, or warn."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from helpers import sampling
from versions import private_names

pytestmark = pytest.mark.all_parameters

NAMES = private_names.names()
# `make versions` tries all of them; `make test` the one without a fallback, and a fixed random sample.
TRIED = NAMES if sampling.is_whole() else ["_initial_epoch", *random.Random(0).sample(NAMES, 2)]
SOURCE = Path(keras.__file__).parent / "src"


@pytest.fixture(scope="module")
def words():
    """All words in the source of Keras."""
    return {word for path in SOURCE.rglob("*.py") for word in re.findall(r"\w+", path.read_text())}


@pytest.mark.parametrize("name", NAMES)
def test_keras_has_the_private_name(words, name):
    assert name in words, f"Keras {keras.__version__} no longer has {name}"


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    """The results of a training and a restart without each name."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    command = [sys.executable, private_names.__file__, tmp_path_factory.mktemp("moved"), *TRIED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    found = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return {each["name"]: each for each in found}


@pytest.mark.long
@pytest.mark.parametrize("name", TRIED)
def test_without_a_private_name_saves_are_complete_and_no_restart_is_silently_inexact(attempts, name):
    assert attempts[name]["wrong"] == ""


@pytest.mark.long
def test_if_the_first_epoch_cannot_be_set_the_error_names_a_remedy(attempts):
    assert any("initial_epoch=" in each for each in attempts["_initial_epoch"]["told"])
