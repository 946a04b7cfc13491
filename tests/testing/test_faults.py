"""The public tools for tests: faults occur where planned, and the conformance suite finds incorrect storages."""

import errno
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, nullcontext

import pytest

from lastgood import ArgumentError
from lastgood._storage import LocalStorage
from lastgood._storage.event_log import LocalEventLog
from lastgood._storage.stages import LocalStage
from lastgood._storage.systems import SYSTEM
from lastgood.testing import POINTS, Crash, Fault, FaultyStorage, MemoryStorage, StorageConformance

FULL = OSError(errno.ENOSPC, "No space left on device")


def save(storage, path, text):
    with storage.stage(path, ".keras") as stage:
        stage.path.write_text(text)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("point", ["stage", "write", "commit"])
@pytest.mark.parametrize("error", [FULL, Crash()])
def test_a_fault_before_the_commit_leaves_the_previous_checkpoint(tmp_path, point, error):
    storage = FaultyStorage(LocalStorage(), Fault(point, error, nth=2))
    save(storage, tmp_path / "m", "first")
    with pytest.raises(type(error)) as caught:
        save(storage, tmp_path / "m", "second")
    assert caught.value is error
    assert (tmp_path / "m").read_text() == "first"
    save(storage, tmp_path / "m", "third")
    assert (tmp_path / "m").read_text() == "third"
    assert names(tmp_path) == ["m"]


def test_a_lost_reply_raises_although_the_checkpoint_is_committed(tmp_path):
    storage = FaultyStorage(LocalStorage(), Fault("reply", TimeoutError()))
    with pytest.raises(TimeoutError):
        save(storage, tmp_path / "m", "state")
    assert names(tmp_path) == ["m"]


def test_a_fault_can_delay_every_save(tmp_path):
    storage = FaultyStorage(LocalStorage(), Fault("commit", lambda: time.sleep(0.05), nth=None))
    begun = time.monotonic()
    for _ in range(2):
        save(storage, tmp_path / "m", "state")
    assert time.monotonic() - begun >= 0.1


def test_every_operation_can_fail(tmp_path):
    target = tmp_path / "m"
    calls = {
        "reclaim": lambda storage: storage.reclaim(tmp_path),
        "check_writable": lambda storage: storage.check_writable(tmp_path),
        "free_space": lambda storage: storage.free_space(tmp_path),
        "discard": lambda storage: storage.discard(target),
        "discarded": lambda storage: storage.discard(target),
        "put": lambda storage: storage.put(target, b"other"),
        "rename": lambda storage: storage.rename(target, tmp_path / "aside"),
        "info": lambda storage: storage.info(target),
        "entries": lambda storage: storage.entries(tmp_path),
        "open": lambda storage: storage.open(target),
        "claim": lambda storage: storage.claim(tmp_path, "m", storage, leave_lock=True),
    }
    assert {*calls, "stage", "write", "commit", "reply"} == set(POINTS)
    for point, call in calls.items():
        save(LocalStorage(), target, "state")
        with pytest.raises(OSError, match="No space"):
            call(FaultyStorage(LocalStorage(), Fault(point, FULL)))
        assert names(tmp_path) == ([] if point == "discarded" else ["m"])
        assert point == "discarded" or target.read_text() == "state"


def test_a_fault_at_open_also_applies_to_local_paths(tmp_path):
    save(LocalStorage(), tmp_path / "m", "state")
    with pytest.raises(OSError, match="No space"):
        FaultyStorage(LocalStorage(), Fault("open", FULL)).local(tmp_path / "m")


def test_a_process_killed_just_before_the_commit_leaves_the_previous_checkpoint(tmp_path):
    script = """
        import os, signal, sys
        from pathlib import Path
        from lastgood._storage import LocalStorage
        from lastgood.testing import Fault, FaultyStorage
        storage = FaultyStorage(LocalStorage(), Fault("commit", lambda: os.kill(os.getpid(), signal.SIGKILL), nth=2))
        for text in ("first", "second"):
            with storage.stage(Path(sys.argv[1]), ".keras") as stage:
                stage.path.write_text(text)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "m")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "m").read_text() == "first"
    assert len(names(tmp_path)) == 3
    LocalStorage().reclaim(tmp_path)
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize(("at", "nth"), [("middle", 1), ("commit", 0)])
def test_a_fault_that_can_never_occur_is_refused(at, nth):
    with pytest.raises(ArgumentError, match="Unrecognized"):
        Fault(at, FULL, nth=nth)


class InPlace(LocalStorage):
    """Writes directly to the path of the checkpoint."""

    @contextmanager
    def stage(self, target, suffix, *, publish=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = LocalStage(target.with_name(target.name + suffix), target)
        yield stage
        if suffix:
            stage.path.replace(target)


class InTwoActs(LocalStorage):
    """Deletes the old checkpoint before the new one is committed."""

    @contextmanager
    def stage(self, target, suffix, *, publish=True):
        with super().stage(target, suffix, publish=publish) as stage:
            yield stage
            self.discard(target)


class Hasty(LocalStorage):
    """Writes the memory of an image without waiting until it is filled."""

    class Stage(LocalStage):
        def write_image(self, name, image, report):
            length, _ = image.seal()
            self.write(name, image.memory[:length].tobytes())
            report(length)

    @contextmanager
    def stage(self, target, suffix, *, publish=True):
        with super().stage(target, suffix, publish=publish) as stage:
            yield self.Stage(stage.path, target)


class Greedy(LocalStorage):
    """Treats every temporary file as a leftover of a dead process."""

    def reclaim(self, directory):
        found = [path for path in directory.iterdir() if path.name.startswith(".lastgood-tmp-")]
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found


class Crowded(LocalStorage):
    """Lets all writers into the event log at once."""

    class Log(LocalEventLog):
        def alone(self):
            return nullcontext()

    def event_log(self, directory):
        return self.Log(directory)


class Generous(LocalStorage):
    """Lets every process claim the same paths."""

    def claim(self, directory, template, user, *, leave_lock):
        return MemoryStorage().claim(directory, template, user, leave_lock=leave_lock)


class OfInPlace(StorageConformance):
    make_storage = InPlace


class OfInTwoActs(StorageConformance):
    make_storage = InTwoActs


class OfHasty(StorageConformance):
    make_storage = Hasty


class OfGreedy(StorageConformance):
    make_storage = Greedy


class OfCrowded(StorageConformance):
    make_storage = Crowded


class OfGenerous(StorageConformance):
    make_storage = Generous


@pytest.mark.parametrize(
    ("suite", "test"),
    [
        (OfInPlace, "test_an_exception_leaves_the_previous_checkpoint_and_nothing_else"),
        (OfInPlace, "test_an_unpublished_save_leaves_the_existing_checkpoint"),
        (OfInTwoActs, "test_a_reader_finds_the_old_or_the_new_checkpoint_during_replacement"),
        (OfHasty, "test_a_file_in_memory_is_written_after_it_is_filled_and_sealed"),
        (OfGreedy, "test_leftovers_of_a_dead_process_are_reclaimed_and_those_of_a_live_one_are_not"),
        (OfCrowded, "test_alone_admits_one_thread_at_a_time"),
        (OfGenerous, "test_paths_that_another_process_has_claimed_are_refused"),
    ],
)
def test_the_conformance_suite_finds_an_incorrect_storage(tmp_path, suite, test):
    # Where the system does not remove open files, some faults cannot even occur.
    with pytest.raises(AssertionError if SYSTEM.replaces_open_files else (AssertionError, PermissionError)):
        getattr(suite(), test)(tmp_path)
