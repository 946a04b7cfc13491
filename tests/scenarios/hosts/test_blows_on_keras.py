"""A process that is killed or stopped while two of them save or restart; `make blows` tries more of this."""

import random

import keras
import pytest

from helpers import sampling

from . import blows

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution over processes needs jax"),
    pytest.mark.skipif(not sampling.is_whole(), reason="make hosts runs it"),
]
CONTENDERS = [name for name in blows.PATHS if name.startswith("lastgood")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What each contender's training ends with if nothing happens."""
    return {name: blows.run(name, tmp_path_factory.mktemp("whole") / blows.PATHS[name])[0] for name in CONTENDERS}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("blow", random.Random(2).sample(blows.blows(), 4), ids=str)
def test_the_survivor_ends_and_the_next_start_is_exact(contender, blow, expected):
    assert blows.attempt(contender, blow, expected[contender]) == ""
