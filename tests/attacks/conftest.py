import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import corpus

CHILD = Path(__file__).with_name("child.py")


def pytest_configure(config):
    if "KERAS_BACKEND" not in os.environ:
        raise pytest.UsageError("Set KERAS_BACKEND: hostile files are tried in processes that use it.")


def framework():
    return "tf_keras" if os.environ.get("TF_USE_LEGACY_KERAS") == "1" else os.environ["KERAS_BACKEND"]


def pytest_generate_tests(metafunc):
    if "attack" in metafunc.fixturenames:
        names = [name for name, attack in corpus.ATTACKS.items() if framework() in attack.where]
        metafunc.parametrize("attack", names)


@pytest.fixture(scope="session")
def told(request, tmp_path_factory):
    """What came of each attack that is asked for, by its name; many are tried in two processes."""
    names = [item.callspec.params["attack"] for item in request.session.items if "attack" in item.fixturenames]
    base = tmp_path_factory.mktemp("attacks")
    (base / "tmp").mkdir()

    count = 2 if len(names) > 100 else 1

    def run(i):
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "TMPDIR": str(base / "tmp"),
        }
        command = [sys.executable, str(CHILD), str(base / f"of{i}"), *names[i::count]]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)

    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(run, range(count)))
    found = defaultdict(dict)
    for line in "".join(each.stdout for each in done).splitlines():
        one = json.loads(line)
        found[one["attack"]][one["entrance"]] = one
    left = [
        each.name for each in (base / "tmp").iterdir() if not each.name.startswith("torchinductor")
    ]  # is torch's own
    found[""] = {"errors": [each.stderr[-3000:] for each in done if each.returncode], "left": left}
    return found
