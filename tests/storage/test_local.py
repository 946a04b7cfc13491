"""How files reach a disk: the order of syncs and renames, full disks, locks. The suite tests what any storage does."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from lastgood._storage import LocalStorage, durable
from lastgood._storage.systems import SYSTEM


@pytest.fixture
def storage():
    return LocalStorage()


def _names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def _write_directory(path, text):
    path.mkdir()
    (path / "sub").mkdir()
    (path / "sub" / "file").write_text(text)


def test_a_directory_replaces_another_completely_where_names_cannot_be_swapped(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(SYSTEM, "exchange", lambda a, b: False)
    target = tmp_path / "ck"
    for text in ("first", "second"):
        with storage.stage(target, "") as stage:
            _write_directory(stage.path, text)
        assert (target / "sub" / "file").read_text() == text
        assert _names(tmp_path) == ["ck"]


def test_the_old_directory_is_put_back_if_the_new_one_cannot_replace_it(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(SYSTEM, "exchange", lambda a, b: False)
    target = tmp_path / "ck"
    _write_directory(target, "old")
    replace = SYSTEM.replace

    def refuse(path, new):
        if new == target and not path.name.endswith(".old"):
            raise OSError(errno.EIO, "injected")
        return replace(path, new)

    monkeypatch.setattr(SYSTEM, "replace", refuse)
    with pytest.raises(OSError, match="injected"), storage.stage(target, "") as stage:
        _write_directory(stage.path, "new")
    assert (target / "sub" / "file").read_text() == "old"
    assert _names(tmp_path) == ["ck"]


@pytest.fixture
def calls(monkeypatch):
    """The calls to the system in order, as pairs of the operation and the name of its file or directory."""
    made = []
    sync, sync_directory, replace = SYSTEM.sync, SYSTEM.sync_directory, SYSTEM.replace

    def log_sync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_dir():
            made.append(("sync", path.name))
        sync(descriptor)

    def log_sync_directory(path):
        made.append(("sync directory", path.name))
        sync_directory(path)

    def log_replace(source, target):
        made.append(("replace", target.name))
        replace(source, target)

    monkeypatch.setattr(SYSTEM, "sync", log_sync)
    monkeypatch.setattr(SYSTEM, "sync_directory", log_sync_directory)
    monkeypatch.setattr(SYSTEM, "replace", log_replace)
    return made


def test_a_commit_syncs_the_file_renames_it_and_syncs_the_directory(storage, tmp_path, calls):
    with storage.stage(tmp_path / "m.keras", ".keras") as stage:
        stage.path.write_text("state")
    assert calls == [("sync", stage.path.name), ("replace", "m.keras"), ("sync directory", tmp_path.name)]


def test_every_file_of_a_directory_is_synced_before_it_appears(storage, tmp_path, calls):
    with storage.stage(tmp_path / "ck", "") as stage:
        _write_directory(stage.path, "x")
    directories = [("sync directory", name) for name in ("sub", stage.path.name)]
    assert calls == [("sync", "file"), *directories, ("replace", "ck"), ("sync directory", tmp_path.name)]


def test_a_failed_sync_prevents_the_commit(storage, tmp_path, monkeypatch):
    target = tmp_path / "m.keras"
    target.write_text("old")

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(SYSTEM, "sync", fail)
    with pytest.raises(OSError, match="Input/output"), storage.stage(target, ".keras") as stage:
        stage.path.write_text("new")
    assert target.read_text() == "old"
    assert _names(tmp_path) == ["m.keras"]


def test_a_file_in_place_of_a_parent_directory_is_named_in_the_error(storage, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught, storage.stage(tmp_path / "file" / "sub" / "m.keras", ".keras"):
        pass
    assert caught.value.filename == str(tmp_path / "file")


_SAVER = """
    import sys, time
    from pathlib import Path
    from lastgood._storage import LocalStorage
    from lastgood._storage.systems import SYSTEM
    target, kind = Path(sys.argv[1]), sys.argv[2]
    if kind == "between renames":
        SYSTEM.exchange = lambda a, b: False
        replace = SYSTEM.replace
        def stop_after_first(path, new):
            replace(path, new)
            if str(new).endswith(".old"):
                print("ready", flush=True)
                time.sleep(600)
        SYSTEM.replace = stop_after_first
    with LocalStorage().stage(target, "") as stage:
        if kind == "file":
            stage.path.write_text("half")
        else:
            stage.path.mkdir()
            (stage.path / "file").write_text("new")
        if kind != "between renames":
            print("ready", flush=True)
            time.sleep(600)
"""


@pytest.fixture
def saver():
    """Start a process that stops in the middle of a save."""
    started = []

    def start(target, kind):
        command = [sys.executable, "-c", textwrap.dedent(_SAVER), str(target), kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_that_dies_between_two_renames_loses_no_checkpoint(storage, tmp_path, saver):
    target = tmp_path / "ck"
    _write_directory(target, "old")
    process = saver(target, "between renames")
    process.kill()
    process.wait()
    assert not target.exists()
    storage.reclaim(tmp_path)
    assert (target / "sub" / "file").read_text() == "old"
    assert _names(tmp_path) == ["ck"]


def test_without_locks_only_old_leftovers_are_removed(storage, tmp_path, saver, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(SYSTEM, "lock", refuse)
    process = saver(tmp_path / "m", "file")
    process.kill()
    process.wait()
    assert storage.reclaim(tmp_path) == []
    (lock,) = tmp_path.glob(".lastgood-tmp-*.lock")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(lock, (long_ago, long_ago))
    assert len(storage.reclaim(tmp_path)) == 1
    with storage.stage(tmp_path / "m", "") as stage:
        stage.path.write_text("saves continue")
    assert _names(tmp_path) == ["m"]


def test_a_lock_file_that_is_reclaimed_before_it_is_locked_is_created_again(storage, tmp_path, monkeypatch):
    lock, reclaimed = SYSTEM.lock, []

    def reclaim_first(descriptor):
        if not reclaimed:
            reclaimed.append(True)
            storage.reclaim(tmp_path)  # as another process may, after the lock file is created and before it is locked
        lock(descriptor)

    monkeypatch.setattr(SYSTEM, "lock", reclaim_first)
    with storage.stage(tmp_path / "m", "") as stage:
        assert stage.path.with_name(stage.path.name + ".lock").exists()
        stage.path.write_text("state")
    assert _names(tmp_path) == ["m"]


def test_check_writable_finds_a_read_only_directory(storage, tmp_path):
    """Root ignores modes, so for root the directory is made immutable; for other users a mode is enough."""
    as_root = os.geteuid() == 0
    if as_root and subprocess.run(["chattr", "+i", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable flag, and root ignores modes")
    if not as_root:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            storage.check_writable(tmp_path / "sub")
    finally:
        if as_root:
            subprocess.run(["chattr", "-i", tmp_path], check=True)
        else:
            tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_previous_checkpoint_and_nothing_else(storage, small_disk):
    target = small_disk / "m.keras"
    target.write_bytes(b"old")
    with pytest.raises(OSError, match="No space") as caught, storage.stage(target, ".keras") as stage:
        stage.path.write_bytes(bytes(4_000_000))
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"old"
    assert _names(small_disk) == ["m.keras"]


def test_a_disk_too_full_for_the_lock_leaves_nothing(storage, small_disk):
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(bytes(4_000_000))
    with pytest.raises(OSError, match="No space"), storage.stage(small_disk / "m.keras", ".keras"):
        pass
    assert _names(small_disk) == ["filler"]


def test_a_directory_that_another_training_creates_during_the_check_is_not_an_error(storage, tmp_path):
    directories = [tmp_path / str(number) for number in range(2000)]
    other = threading.Thread(target=lambda: [directory.mkdir() for directory in directories])
    other.start()
    for directory in directories:
        while not directory.exists():
            storage.check_writable(directory)
    other.join()


def test_free_space_is_that_of_the_disk(storage, small_disk):
    assert 0 < storage.free_space(small_disk / "not" / "yet") < 2_000_000


def test_a_relative_path_saves_below_the_current_directory(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with storage.stage(Path("m.keras"), ".keras") as stage:
        stage.path.write_text("state")
    assert _names(tmp_path) == ["m.keras"]
    assert storage.free_space(Path("runs/new")) > 0


def test_an_interrupted_deletion_of_a_directory_leaves_no_partial_checkpoint(storage, tmp_path, monkeypatch):
    _write_directory(tmp_path / "ck", "old")

    def stop(path, *_, **__):
        (path / "sub" / "file").unlink()
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(durable.shutil, "rmtree", stop)
        with pytest.raises(OSError, match="injected"):
            storage.discard(tmp_path / "ck")
    assert not (tmp_path / "ck").exists()
    assert storage.reclaim(tmp_path)
    assert _names(tmp_path) == []
