"""Part of one cell of the matrix: the lowest version of each dependency of every user on jax."""

import subprocess
import sys

import pytest

from versions import matrix

PART = ["callback/test_document_example_on_keras.py", "formats/test_registry.py"]


@pytest.mark.long
def test_the_lowest_versions_of_all_dependencies_pass(tmp_path):
    (cell,) = (cell for cell in matrix.cells() if cell.name.endswith("lowest on jax"))
    if not sys.version.startswith(f"{cell.python}."):
        pytest.skip(f"the lowest versions are tested on Python {cell.python}, and this is another one")
    if not matrix.UV.exists():
        pytest.skip("uv is not installed: see pyproject.toml")
    cell.packages, cell.tests = matrix.lowest("jax"), PART
    try:
        python = matrix.prepare(cell, sys.executable, tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the packages cannot be installed here: {error}")
    versions = matrix.versions(python, cell)
    assert f"keras=={versions['keras']}".startswith(cell.packages[0])
    result = matrix.run_tests(python, cell)
    assert result["wrong"] == []
    assert result["passed"] > 5
