import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import sampling
from scenarios.attacks import corpus

CHILD = Path(__file__).with_name("child.py")
MANY = 100  # with more names than this, two processes are used


def pytest_configure(config):
    if os.environ.get("KERAS_BACKEND") != "jax":
        raise pytest.UsageError("Set KERAS_BACKEND=jax: these tests start their own processes for the other backends.")


def pytest_generate_tests(metafunc):
    if "attack" in metafunc.fixturenames:
        tried = [(where, name) for name, attack in corpus.ATTACKS.items() for where in attack.where]
        tried = tried if sampling.is_whole() else [each for each in tried if each[0] == "jax"]
        metafunc.parametrize(("where", "attack"), tried, ids=[f"{where}-{name}" for where, name in tried])


@pytest.fixture(scope="session")
def told(request, tmp_path_factory):
    """The results of each selected attack, by its backend and name."""
    wanted = defaultdict(list)
    for item in request.session.items:
        if "attack" in item.fixturenames:
            wanted[item.callspec.params["where"]].append(item.callspec.params["attack"])
    jobs = []
    for where, names in wanted.items():
        count = 2 if len(names) > MANY else 1
        jobs += [(where, names[i::count], tmp_path_factory.mktemp("attacks")) for i in range(count)]
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(_try, jobs))
    found = defaultdict(dict)
    for (where, _, base), process in zip(jobs, done, strict=True):
        for line in process.stdout.splitlines():
            one = json.loads(line)
            found[where, one["attack"]][one["entrance"]] = one
        # Torch leaves some itself.
        found["left"] |= {each.name: where for each in base.glob("tmp/*") if not each.name.startswith("torchinductor")}
        if process.returncode:
            found["errors"][where] = process.stderr[-3000:]
    return found


def _try(job):
    where, names, base = job
    (base / "tmp").mkdir()
    environment = {**os.environ, "KERAS_BACKEND": where, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if where == "tf_keras":
        environment |= {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, str(CHILD), str(base / "of"), *names]
    environment["TMPDIR"] = str(base / "tmp")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
