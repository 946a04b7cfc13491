"""File systems that lack a feature: saves still succeed, and what cannot be guaranteed there is reported.

strace makes the system calls fail, because every file system that can be mounted anywhere supports them.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers.systems import on_linux
from lastgood._storage import LocalStorage

pytestmark = on_linux

CHILD = """
    import json, sys
    from pathlib import Path
    import numpy as np
    from lastgood._storage import Image, LocalStorage, Span
    directory, storage = Path(sys.argv[1]), LocalStorage()
    limits = storage.limits(directory, swaps=True)
    image = Image(np.full(4096, 65, np.uint8), Span(0, 100), lambda: (100, []), lambda stop: None)
    for text in ("first", "second"):
        with storage.stage(directory / "m.keras", ".keras") as stage:
            stage.write_image("", image, lambda written: None)
        with storage.stage(directory / "ck", "") as stage:
            stage.write("sub/file", text.encode())
        with storage.stage(directory / "g", "") as stage:
            stage.write(".data-00000-of-00001" if text == "first" else ".data-00000-of-00002", text.encode())
            stage.write(".index", text.encode())
    storage.discard(directory / "ck")
    with storage.stage(directory / "ck", "") as stage:
        stage.write("sub/file", b"third")
    storage.rename(directory / "ck", directory / "renamed")
    storage.event_log(directory).append(b"line", durable=True)
    with storage.event_log(directory).alone():
        pass
    user = storage.stage
    storage.claim(directory, "m.keras", user, leave_lock=True).release(user)
    print(json.dumps(list(limits)))
"""


@pytest.fixture
def save_without(tmp_path):
    """Save and delete checkpoints of each kind in a process for which some system calls fail; return its limits."""
    if not shutil.which("strace"):
        pytest.skip("strace, which makes the system calls fail, is not installed")
    run = tmp_path / "run"
    run.mkdir()

    def save(*injections, only=()):
        paths = [part for path in only for part in ("-P", str(run / path))]
        refused = [part for each in injections for part in ("-e", f"inject={each}")]
        child = [sys.executable, "-c", textwrap.dedent(CHILD), str(run)]
        log = tmp_path / "strace"
        command = ["strace", "-f", "-qq", "-o", str(log), *paths, *refused, *child]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if "ptrace" in done.stderr and not log.stat().st_size:
            pytest.skip("strace is not permitted to trace here")
        assert done.returncode == 0, done.stderr[-2000:]
        assert "INJECTED" in log.read_text()
        _check_all_is_there(run)
        return json.loads(done.stdout)

    return save


def _check_all_is_there(run):
    names = [".lastgood", "g.data-00000-of-00002", "g.index", "m.keras", "renamed"]
    assert sorted(path.name for path in run.iterdir()) == names
    assert (run / "m.keras").read_bytes() == b"A" * 100
    assert (run / "renamed" / "sub" / "file").read_text() == "third"
    assert (run / "g.index").read_text() == "second"


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EOPNOTSUPP", "EBADF", "EACCES"])
def test_saves_succeed_where_directories_have_no_fsync(save_without, error):
    said = save_without(f"fsync:error={error}", only=[""])
    assert said == ["It has no fsync of directories, so a power cut may undo the last saves."]


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EOPNOTSUPP"])
def test_saves_succeed_where_there_is_no_fsync(save_without, error):
    (said,) = save_without(f"fsync:error={error}")
    assert said.startswith("It has no fsync, so a power cut may lose checkpoints")


@pytest.mark.parametrize("error", ["ENOSYS", "ENODEV", "EOPNOTSUPP"])
def test_saves_succeed_where_no_space_can_be_reserved(save_without, error):
    assert save_without(f"fallocate:error={error}") == []


@pytest.mark.parametrize("error", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_saves_succeed_where_there_are_no_locks(save_without, error):
    (said,) = save_without(f"flock:error={error}")
    assert said.startswith("It has no locks")


@pytest.mark.parametrize("error", ["ENOSYS", "EINVAL", "EPERM", "EXDEV"])
def test_saves_succeed_where_names_cannot_be_exchanged(save_without, error):
    (said,) = save_without(f"renameat2:error={error}")
    assert said.startswith("It cannot swap two names")


@pytest.mark.parametrize("error", ["ENOSYS", "EOPNOTSUPP", "EXDEV"])
def test_saves_succeed_where_nothing_can_be_renamed(save_without, error):
    said, of_directories = save_without(f"rename:error={error}", f"renameat2:error={error}")
    assert said.startswith("It does not rename atomically")
    assert of_directories.startswith("A directory that is renamed")


def test_a_failing_disk_is_not_mistaken_for_one_that_lacks_a_feature(tmp_path):
    if not shutil.which("strace"):
        pytest.skip("strace, which makes the system calls fail, is not installed")
    child = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path)]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", *child]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Input/output error" in done.stderr


def test_a_file_system_with_all_features_has_no_limits_and_the_check_leaves_nothing(tmp_path):
    assert LocalStorage().limits(tmp_path / "not" / "yet", swaps=True) == []
    assert list(tmp_path.iterdir()) == []


def test_the_limits_of_a_file_system_are_determined_once_per_storage(tmp_path, monkeypatch):
    storage, made = LocalStorage(), []
    storage.limits(tmp_path, swaps=True)
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda path: (made.append(path), touch(path)))
    storage.limits(tmp_path / "other", swaps=True)
    assert not made
    LocalStorage().limits(tmp_path, swaps=True)
    assert made
