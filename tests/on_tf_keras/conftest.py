import os
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))


def pytest_configure(config):
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise pytest.UsageError("Set TF_USE_LEGACY_KERAS=1: these tests are about tf_keras 2.")


with warnings.catch_warnings():  # what TensorFlow warns of while it is imported is not ours
    warnings.simplefilter("ignore")
    from fixtures import _seeded, data, fit, make_model, names  # noqa: F401 - pytest finds them here
