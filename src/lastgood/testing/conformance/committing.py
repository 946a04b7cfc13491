"""Tests that a checkpoint is visible completely, or not at all."""

import contextlib
from functools import partial
from pathlib import Path, PurePath

from ..._storage import Location, Storage
from ..._storage.in_memory import MemoryFile
from .base import StorageSuite
from .tools import KINDS, LARGE, LONG, SUFFIXES, StateInMemory, content, polling, write


class Committing(StorageSuite):
    """Tests of what becomes visible, and when."""

    def test_a_staged_checkpoint_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        """Before that, the target does not exist; afterwards it is complete, and nothing else is there."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "new" / "m"
            with storage.stage(target, SUFFIXES[kind]) as stage:
                write(kind, stage.path, "state")
                assert stage.path.name.endswith(SUFFIXES[kind])
                assert not self.read(target)
            assert self.read(target) == content(kind, "state")
            assert self.is_alone(target)

    def test_files_written_through_the_stage_appear_unchanged(self, tmp_path: Path) -> None:
        """The stage lists its files before they are visible, and the entries beside the target."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            self.save(storage, "file", here / kind / "other", "other")
            expected = content(kind, "state", 2)
            with storage.stage(target, SUFFIXES[kind]) as stage:
                assert stage.files() == []
                for name, text in expected.items():
                    stage.write(name, text.encode())
                assert stage.target == target
                assert "other" in stage.beside()
                assert stage.files() == sorted(expected)
                assert stage.size() == sum(map(len, expected.values()))
                for name, text in expected.items():
                    with stage.open(name) as file:
                        assert file.read(0, file.size) == text.encode()
                assert not self.read(target)
            assert self.read(target) == expected

    def test_a_file_in_memory_is_written_after_it_is_filled_and_sealed(self, tmp_path: Path) -> None:
        """The storage reads no byte before it is filled, and no sealed part before it is sealed."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind, name in (("file", ""), ("directory", "sub/file")):
            for size in (10_001, LARGE):
                state, reported = StateInMemory(size), [0]
                target = here / kind / str(size)
                with storage.stage(target, SUFFIXES[kind]) as stage:
                    stage.write_image(name, state.image(), reported.append)
                with Location(target, storage).open(name) as file:
                    assert file.size == size
                    assert file.read(0, size) == state.expected()
                assert reported == sorted(reported)
                assert reported[-1] >= size

    def test_files_that_other_processes_add_to_a_stage_appear_with_it(self, tmp_path: Path) -> None:
        """And not before; a file that is said to be there and is not fails the commit."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        target, added = here / "run" / "m", {"tree/c.0": "small", "tree/c.1": "9" * LONG}
        self.save(storage, "directory", target, "old")
        with storage.stage(target, "") as stage:
            stage.write("own", b"own")
            self._add(storage, target, stage.admit(), added)
            assert self.read(target) == content("directory", "old")
            stage.add({name: (len(text), 0) for name, text in added.items()})
            assert stage.size() == len("own") + sum(map(len, added.values()))
        assert self.read(target) == {"own": "own", **added}
        with contextlib.suppress(OSError), storage.stage(target, "") as stage:
            stage.write("own", b"new")
            self._add(storage, target, stage.admit(), added)
            stage.add({"tree/c.2": (5, 0)})
        assert self.read(target) == {"own": "own", **added}
        assert self.is_alone(target)

    def _add(self, storage: Storage, target: PurePath, admission: str, files: dict[str, str]) -> None:
        with storage.join(target, admission) as other:
            for name, text in files.items():
                if len(text) < LONG:
                    other.write(name, text.encode())
                else:
                    other.take(name, MemoryFile(name, text.encode()), lambda _: None)

    def test_an_exception_leaves_the_previous_checkpoint_and_nothing_else(self, tmp_path: Path) -> None:
        """Whatever ends the block, even an interrupt, the previous checkpoint is intact and nothing else is left."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            for error in (OSError("no"), ValueError("no"), KeyboardInterrupt()):
                target = here / kind / type(error).__name__ / "m"
                self.save(storage, kind, target, "old")
                before = self.names(target.parent)
                raised: BaseException | None = None
                try:
                    with storage.stage(target, SUFFIXES[kind]) as stage:
                        write(kind, stage.path, "half", parts=2)
                        raise error  # noqa: TRY301
                except BaseException as caught:  # noqa: BLE001 - checked below
                    raised = caught
                assert raised is error
                assert self.read(target) == content(kind, "old")
                assert self.names(target.parent) == before

    def test_an_exception_during_the_first_save_leaves_nothing(self, tmp_path: Path) -> None:
        """Even if the writer had written nothing yet, or only the first of several files."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            for wrote in (False, True):
                with contextlib.suppress(RuntimeError), storage.stage(here / kind, SUFFIXES[kind]) as stage:
                    if wrote:
                        write(kind, stage.path, "half", finished=False)
                    raise RuntimeError
                assert self.names(here) == []

    def test_a_checkpoint_replaces_another_completely(self, tmp_path: Path) -> None:
        """Old and new files are never mixed."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            for number, text in enumerate(("first", "second", "third")):
                self.save(storage, kind, target, text, number)
                assert self.read(target) == content(kind, text, 1 + number % 2)
                assert self.is_alone(target)

    def test_a_reader_finds_the_old_or_the_new_checkpoint_during_replacement(self, tmp_path: Path) -> None:
        """A reader that polls during replacements always finds a checkpoint, and always a complete one."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        pause = 0.0 if self.replaces_open_files else 0.01
        for kind in KINDS:
            if kind == "directory" and not self.replaces_open_files:
                continue  # it has to be moved aside, and is not visible for a moment
            target = here / kind / "m"
            texts = [letter * LONG for letter in "abcdefghijklmnop"]
            self.save(storage, kind, target, texts[0])
            with polling(partial(self.main_file, kind, target), pause) as seen:
                for number, text in enumerate(texts, 1):
                    self.save(storage, kind, target, text, number)
            assert seen
            assert set(seen) <= set(texts)
