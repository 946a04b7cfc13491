import os

import pytest


def pytest_configure(config):
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise pytest.UsageError("Set TF_USE_LEGACY_KERAS=1: these tests are about tf_keras 2.")
