import os
import warnings
from collections import Counter

import pytest


def pytest_configure(config):
    if "KERAS_BACKEND" not in os.environ:
        raise pytest.UsageError(
            "Set KERAS_BACKEND: Keras picks its backend at import, so each backend needs its own process."
        )


with warnings.catch_warnings():  # the backends' own warnings at import do not matter here
    warnings.simplefilter("ignore")
    from helpers.kit import TF_KERAS, keras

    if not TF_KERAS:
        keras.ops.zeros((1,))

    from scenarios.damage.samples import CASES, Sample, quietly

_COUNTS = Counter()


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """Return the sample of a format, made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = quietly(lambda: Sample(CASES[name], tmp_path_factory.mktemp("sample")))
        return made[name]

    return get


@pytest.fixture(scope="session")
def counts():
    """What was tried and found, by format, region and outcome."""
    return _COUNTS


def pytest_terminal_summary(terminalreporter):
    if "LASTGOOD_DAMAGE" not in os.environ:
        return
    terminalreporter.section("damage: format, region, tried, detected")
    for name, region in sorted({key[:2] for key in _COUNTS}):
        tried, detected = _COUNTS[name, region, "tried"], _COUNTS[name, region, "detected"]
        terminalreporter.write_line(f"{name:24} {region:26} {tried:7} {detected:7}")
