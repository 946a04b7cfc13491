"""Tests of a run's log and claims, and of calls before and after saves."""

import multiprocessing
import time
from functools import partial
from pathlib import Path
from unittest import SkipTest

from ..._errors import RunInUseError
from .base import StorageSuite, claim_and_wait
from .tools import KINDS, MOST, User, content, errors_of, raises


class Runs(StorageSuite):
    """Tests of logs, claims, deletion and free space."""

    def test_a_log_keeps_its_lines_in_order(self, tmp_path: Path) -> None:
        """A read continues after the previous one; if the log has been replaced, it starts over."""
        here = self.make_directory(tmp_path)
        log = self.storage.event_log(here / "runs")
        assert not log.exists
        assert log.read(0, b"", MOST)[0] == b""
        assert self.names(here) == []
        for line in (b"one", b"two"):
            log.append(line, durable=False)
        assert log.exists
        assert log.read(0, b"", MOST) == (b"one\ntwo\n", True)
        log.append(b"three", durable=True)
        assert log.read(8, b"two\n", MOST) == (b"three\n", True)
        assert log.read(8, b"other", MOST) == (b"one\ntwo\nthree\n", False)
        assert log.read(0, b"", 4) == (b"one\n", True)

    def test_concurrently_appended_lines_are_all_intact(self, tmp_path: Path) -> None:
        """From several threads, each with its own log object. Empty lines between them do not count."""
        here = self.make_directory(tmp_path)

        def append(letter: str) -> None:
            log = self.storage.event_log(here)
            for _ in range(50):
                log.append(letter.encode() * 100, durable=False)

        assert errors_of(append, ["a", "b", "c", "d"]) == []
        lines = filter(None, self.storage.event_log(here).read(0, b"", MOST)[0].splitlines())
        assert sorted(lines) == sorted(letter * 100 for letter in (b"a", b"b", b"c", b"d") for _ in range(50))

    def test_alone_admits_one_thread_at_a_time(self, tmp_path: Path) -> None:
        """While one changes the run, the others wait."""
        here = self.make_directory(tmp_path)
        inside: list[int] = []
        most: list[int] = []

        def enter(name: str) -> None:
            for _ in range(20):
                with self.storage.event_log(here).alone():
                    inside.append(len(name))
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.pop()

        assert errors_of(enter, ["a", "b", "c"]) == []
        assert set(most) == {1}
        log = self.storage.event_log(here)
        with log.alone():
            log.append(b"whoever is alone may append", durable=False)

    def test_paths_are_claimed_and_released_in_one_process(self, tmp_path: Path) -> None:
        """Two users in a process share a claim; a directory that does not exist can be claimed."""
        here = self.make_directory(tmp_path)
        users = [User(), User()]
        claims = [self.storage.claim(here / "runs", "{epoch}.keras", user, leave_lock=False) for user in users]
        for claim, user in zip(claims, users, strict=True):
            claim.release(user)

    def test_paths_that_another_process_has_claimed_are_refused(self, tmp_path: Path) -> None:
        """Until that process releases them, or ends."""
        here = self.make_directory(tmp_path)
        if not self.outlives_processes:
            raise SkipTest("other processes cannot see this storage")
        spawn = multiprocessing.get_context("spawn")
        ready = spawn.Event()
        process = spawn.Process(target=claim_and_wait, args=(self, here, ready), daemon=True)
        process.start()
        try:
            assert ready.wait(60), "the process did not claim within 60 s"
            user = User()
            claim = partial(self.storage.claim, here, "{epoch}.keras", user, leave_lock=True)
            assert raises(RunInUseError, claim)
            process.kill()
            process.join()
            claim().release(user)
        finally:
            process.kill()
            process.join()

    def test_a_discarded_checkpoint_is_gone_and_can_be_discarded_again(self, tmp_path: Path) -> None:
        """Checkpoints beside it stay."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            self.save(storage, kind, here / kind / "m", "state")
            self.save(storage, kind, here / kind / "m2", "state")
            for _ in range(2):
                storage.discard(here / kind / "m")
                assert self.read(here / kind / "m") == {}
            assert self.read(here / kind / "m2") == content(kind, "state")
            assert self.is_alone(here / kind / "m2")

    def test_an_unpublished_save_leaves_the_existing_checkpoint(self, tmp_path: Path) -> None:
        """All workers of a distributed training write, but only the chief's checkpoint appears."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            self.save(storage, kind, here / kind / "m", "chief")
            self.save(storage, kind, here / kind / "m", "worker", 1, publish=False)
            assert self.read(here / kind / "m") == content(kind, "chief")
            assert self.is_alone(here / kind / "m")

    def test_check_writable_leaves_nothing(self, tmp_path: Path) -> None:
        """It does not create the directory either."""
        here = self.make_directory(tmp_path)
        self.storage.check_writable(here / "not" / "yet")
        assert self.names(here) == []

    def test_trainings_that_start_concurrently_do_not_interfere(self, tmp_path: Path) -> None:
        """Each removes leftovers and checks whether it can save; temporary files of the others are not leftovers."""
        here = self.make_directory(tmp_path)
        storage = self.storage

        def begin(name: str) -> None:
            for _ in range(self.starts):
                storage.reclaim(here)
                storage.check_writable(here)
            self.save(storage, "file", here / name, name)

        assert errors_of(begin, ["a", "b", "c", "d"]) == []
        assert self.names(here) == ["a", "b", "c", "d"]

    def test_free_space_is_known_before_the_first_save(self, tmp_path: Path) -> None:
        """It is queried before the first save; a storage without a limit returns None."""
        here = self.make_directory(tmp_path)
        free = self.storage.free_space(here / "not" / "yet")
        assert free is None or free > 0
