import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))


def pytest_configure(config):
    if "KERAS_BACKEND" not in os.environ:
        raise pytest.UsageError(
            "Set KERAS_BACKEND: Keras picks its backend at import, so each has a process of its own."
        )


with warnings.catch_warnings():  # what the backends warn of while they are imported is not ours
    warnings.simplefilter("ignore")
    from kit import TF_KERAS, keras

    if not TF_KERAS:
        keras.ops.zeros((1,))

    from fixtures import _seeded, data, fit, make_model, names  # noqa: F401 - pytest finds them here


@pytest.fixture(scope="session")
def load_in_stock(tmp_path_factory):
    """Load checkpoints in a process of their own, with stock Keras; return each one's arrays, or its error."""

    def load(jobs):
        tmp_path = tmp_path_factory.mktemp("stock")
        results = [str(tmp_path / f"r{i}.npz") for i in range(len(jobs))]
        jobs = [{"path": str(p), "builder": b, "result": r} for (p, b), r in zip(jobs, results, strict=True)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(TESTS / "stock_loader.py")],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [_result(Path(result)) for result in results]

    return load


def _result(path):
    error = Path(f"{path}.error")
    if error.exists():
        return error.read_text()
    with np.load(path) as file:
        return dict(file)
