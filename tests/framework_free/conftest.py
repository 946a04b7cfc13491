import sys

import pytest

FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}


@pytest.fixture(autouse=True)
def _no_framework():
    """What is tested here has to work where no framework is imported."""
    yield
    imported = FRAMEWORKS & set(sys.modules)
    assert not imported, f"{imported} got imported"
