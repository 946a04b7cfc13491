"""Tests of processes that save at the same time, die during a save, or are suspended."""

import threading
from pathlib import Path, PurePath
from typing import Any

from .base import StorageSuite
from .tools import KINDS, LONG, SUFFIXES, content, errors_of, stop, wake, write


class Crowding(StorageSuite):
    """Tests of concurrent and interrupted saves, and of what they leave."""

    def test_concurrent_saves_to_one_name_commit_one_after_another(self, tmp_path: Path) -> None:
        """The last one is complete, and nothing is left of the others. With a group, late ones may raise an OSError."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            for round_ in range(10):
                target = here / f"{kind}{round_}" / "m"
                texts = [f"{number}" * LONG for number in range(4)]
                together = threading.Barrier(len(texts))

                def save(text: str, *, kind: str = kind, target: PurePath = target, together: Any = together) -> None:
                    with storage.stage(target, SUFFIXES[kind]) as stage:
                        write(kind, stage.path, text)
                        together.wait(60)

                errors = errors_of(save, texts)
                assert len(errors) < len(texts) if kind == "group" else not errors, errors
                assert all(isinstance(error, OSError) for error in errors)
                assert self.read(target) in [content(kind, text) for text in texts]
                assert self.is_alone(target)

    def test_concurrent_saves_to_different_names_do_not_interfere(self, tmp_path: Path) -> None:
        """All of them exist in the end."""
        here = self.make_directory(tmp_path)
        storage = self.storage

        def save(name: str) -> None:
            for _ in range(20):
                self.save(storage, "file", here / name, name)
                storage.reclaim(here)

        names = ["a", "b", "c", "d"]
        assert errors_of(save, names) == []
        assert self.names(here) == names
        assert [self.read(here / name) for name in names] == [{"": name} for name in names]

    def test_leftovers_of_a_dead_process_are_reclaimed_and_those_of_a_live_one_are_not(self, tmp_path: Path) -> None:
        """A suspended process is alive: it may continue."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            directory = here / kind
            self.save(storage, kind, directory / "m", "old")
            before = self.names(directory)
            with self.in_the_middle_of_a_save(kind, directory / "m") as process:
                while_alive = self.names(directory)  # a storage may hide unfinished files
                assert set(while_alive) >= set(before)
                assert list(storage.reclaim(directory)) == []
                stop(process)
                assert list(storage.reclaim(directory)) == []
                assert self.names(directory) == while_alive
                process.kill()
                process.join()
                assert storage.reclaim(directory) or while_alive == before
            assert self.names(directory) == before
            assert self.read(directory / "m") == content(kind, "old")
            assert list(storage.reclaim(directory)) == []

    def test_a_suspended_process_commits_when_it_continues(self, tmp_path: Path) -> None:
        """Whatever others have saved and reclaimed there in the meantime."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        with self.in_the_middle_of_a_save("file", here / "m") as process:
            stop(process)
            storage.reclaim(here)
            self.save(storage, "file", here / "m", "meanwhile")
            wake(process)
            process.go_on.set()
            process.join(60)
            assert process.exitcode == 0
        assert self.read(here / "m") == content("file", "half")
        assert self.names(here) == ["m"]

    def test_reclaim_touches_nothing_else(self, tmp_path: Path) -> None:
        """Checkpoints and other files stay; a directory that does not exist is not an error."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            self.save(storage, kind, here / kind, "state")
        for name in ("m.keras", ".hidden", "lastgood-tmp-x.keras", ".lastgood"):
            storage.put(here / name, b"")
        before = self.names(here)
        assert list(storage.reclaim(here)) == []
        assert self.names(here) == before
        assert list(storage.reclaim(here / "absent")) == []
