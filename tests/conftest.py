import atexit
import os
import subprocess
import tempfile

import pytest

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # jax reads it when it is imported; so do all processes of the tests
    _compiled = tempfile.TemporaryDirectory(prefix="lastgood-jax-")
    atexit.register(_compiled.cleanup)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": _compiled.name,  # the same small models, compiled once rather than in each test
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB that is empty; only root can mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk is mounted to be filled, and that needs root")
    yield where
    subprocess.run(["umount", "-l", where], check=True)
