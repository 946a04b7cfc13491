import sys

import pytest
from hypothesis import settings

# A machine that is busy pauses a process for longer than the 200 ms that an example may take otherwise.
settings.register_profile("lastgood", deadline=None)
settings.load_profile("lastgood")

FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}


@pytest.fixture(autouse=True)
def _no_framework():
    """What is tested here has to work where no framework is imported."""
    yield
    imported = FRAMEWORKS & set(sys.modules)
    assert not imported, f"{imported} got imported"
