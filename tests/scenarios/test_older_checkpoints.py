"""Runs of an older version, in ``corpus``, are listed, verified, loaded and continued.

``corpus/make.py`` documents how they were made, and trains here as it did there.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lastgood

HERE = Path(__file__).parent

with warnings.catch_warnings():  # the backends' own warnings at import do not matter here
    warnings.simplefilter("ignore")
    from helpers.kit import TF_KERAS, keras

    if not TF_KERAS:
        keras.ops.zeros((1,))

    from scenarios.corpus import make

pytestmark = [
    pytest.mark.skipif(not TF_KERAS and keras.backend.backend() != "jax", reason="the runs of Keras 3 are from jax"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

EXPECTED = json.loads((HERE / "corpus" / "expected.json").read_text())[make.GENERATION]


@dataclass(frozen=True)
class Left:
    """A run that was stopped in the middle of its second epoch, copied for the test.

    Attributes:
        case: How it is resumed.
        directory: Where it is.
        listing: What the older version listed there.
    """

    case: make.Case
    directory: Path
    listing: list

    @property
    def steps(self):
        return [each.step for each in lastgood.open_run(self.directory).checkpoints]


@pytest.fixture(params=make.CASES)
def left(request, tmp_path):
    """Unpack the run of each format."""
    name = request.param
    return Left(make.CASES[name], make.unpack(name, tmp_path), EXPECTED["listings"][name])


@pytest.fixture(scope="module")
def exact():
    """Return whether a training without lastgood ends with the same bits here as where the runs were made.

    Another processor or framework version may compute other bits; then results are compared up to rounding.
    """
    return make.end(*make.train()) == EXPECTED["end"]


def assert_alike(ended, expected, exact):
    """Check that two trainings ended alike: to the last bit if ``exact``, else up to rounding."""
    if exact:
        assert ended == expected
        return
    assert ended["dtypes"] == expected["dtypes"]
    for dtype, *pair in zip(ended["dtypes"], ended["values"], expected["values"], strict=True):
        one, other = (np.frombuffer(bytes.fromhex(each), dtype) for each in pair)
        np.testing.assert_allclose(one, other, *((1e-3, 1e-5) if one.dtype.kind == "f" else (0, 0)))
    assert ended["history"]["loss"] == pytest.approx(expected["history"]["loss"], rel=1e-3)


def other_model():
    """Return a model whose weights differ from all saved ones."""
    model = make.build()
    model.set_weights([weight + 1 for weight in model.get_weights()])
    return model


def test_older_checkpoints_are_listed_as_before(left):
    assert lastgood.open_run(left.directory).listing() == [{**each, "shared": 0} for each in left.listing]


def test_older_checkpoints_are_intact(left):
    assert lastgood.open_run(left.directory).verify() == []


def test_weights_of_an_older_checkpoint_are_those_of_its_step(left):
    for each in left.listing:
        model = other_model()
        lastgood.load_weights(model, left.directory / each["path"])
        assert make.as_hex(model.weights) == EXPECTED["weights"][str(each["step"])]


def test_the_complete_state_of_an_older_checkpoint_is_restored(left):
    for each in left.listing:
        model = other_model()
        progress = lastgood.restore(model, left.directory / each["path"])
        assert (progress.step, progress.epoch, progress.batch) == (each["step"], each["epoch"], each["batch"])
        assert make.as_hex(model.weights) == EXPECTED["weights"][str(each["step"])]
        assert int(model.optimizer.iterations) == each["step"]


def test_a_run_of_an_older_version_continues_to_the_same_end(left, exact):
    watch = make.Watch()
    ended = make.train(watch, left.case.callback(left.directory), other=True)
    assert_alike(make.end(*ended), EXPECTED["end"], exact)
    behind = left.listing[-1]["batch"]
    assert watch.batches == [*range(behind, make.BATCHES)]  # the epoch continued where it had stopped
    assert lastgood.open_run(left.directory).verify() == []
    assert not [*left.directory.glob("*.corrupt")]


@pytest.mark.skipif(TF_KERAS, reason="the run with retention was made with Keras 3")
def test_pins_late_metrics_and_retention_of_an_older_run_still_apply(tmp_path):
    directory = make.unpack("keras", tmp_path)
    run = lastgood.open_run(directory)
    assert [(each.step, each.pinned) for each in run.checkpoints] == [(1, False), (2, True), (6, False), (7, False)]
    assert run.best("late", "min").step == 7
    make.train(make.CASES["keras"].callback(directory), other=True)
    # The best by loss, the pinned, and the last two.
    assert [(each.step, each.pinned) for each in run.checkpoints] == [(1, False), (2, True), (7, False), (8, False)]
