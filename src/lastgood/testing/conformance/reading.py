"""Tests that saved checkpoints are found, described and read."""

import time
from pathlib import Path
from typing import cast

from ..._storage import Location
from ..._storage.base import Kind, file_path
from .base import StorageSuite
from .tools import DAY, KINDS, LONG, MOST, content, raises


class Reading(StorageSuite):
    """Tests of reading."""

    def test_a_saved_checkpoint_is_found_and_described(self, tmp_path: Path) -> None:
        """The storage returns its kind, files and size; where there is no checkpoint, it finds nothing."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            at = Location(target, storage)
            assert at.kind is None
            assert raises(FileNotFoundError, at.info)
            self.save(storage, kind, target, "state", 1)
            expected = content(kind, "state", 2)
            assert at.kind == kind
            assert sorted(at.files()) == sorted(expected)
            assert at.size() == sum(map(len, expected.values()))
            assert [storage.is_inside(target, name) for name in expected] == [True] * len(expected)
            assert not storage.is_inside(target, "absent")
            assert storage.parse(str(at)) == target
            assert str(at) == storage.text_of(target)

    def test_files_are_read_in_ranges(self, tmp_path: Path) -> None:
        """From any offset, in parts, or as a file object; but not beyond the end."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        content = "0123456789" * (LONG // 10)
        self.save(storage, "file", here / "m", content)
        with storage.open(here / "m") as file:
            assert file.size == len(content)
            assert file.read(7, 20) == content[7:27].encode()
            buffer = bytearray(5)
            file.read_into(buffer, len(content) - 5)
            assert buffer == b"56789"
            assert b"".join(map(bytes, file.parts(3, len(content)))) == content[3:].encode()
            assert file.window(10, 20).read() == b"0123456789" * 2
            assert file.read(0, 0) == b""
            assert raises(OSError, lambda: file.read(len(content) - 5, 6))
        assert raises(FileNotFoundError, lambda: storage.open(here / "absent"))
        self.save(storage, "directory", here / "d", "state")
        assert raises(OSError, lambda: storage.open(here / "d"))

    def test_a_reader_of_a_replaced_file_never_gets_parts_of_the_new_one(self, tmp_path: Path) -> None:
        """A reader gets the checkpoint that it has opened, or an error; never a part of the next one."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        self.save(storage, "file", here / "m", "a" * LONG)
        with storage.open(here / "m") as file:
            if not self.replaces_open_files:
                assert raises(OSError, lambda: self.save(storage, "file", here / "m", "b" * LONG))
                assert set(file.read(0, file.size)) == {ord("a")}
                return
            self.save(storage, "file", here / "m", "b" * LONG)
            if self.reads_on:
                assert set(file.read(0, file.size)) == {ord("a")}
            else:
                assert raises(OSError, lambda: file.read(0, file.size))

    def test_a_directory_is_listed(self, tmp_path: Path) -> None:
        """Files and directories, each once; an absent directory is an error."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        self.save(storage, "file", here / "runs" / "m.keras", "state")
        self.save(storage, "directory", here / "runs" / "d", "state")
        found = {entry.name: entry.kind for entry in storage.entries(here / "runs")}
        assert found == {"m.keras": "file", "d": "directory"}
        assert raises(OSError, lambda: storage.entries(here / "absent"))

    def test_the_mark_changes_only_when_the_checkpoint_does(self, tmp_path: Path) -> None:
        """Even if the new one is as long as the old one."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            self.save(storage, kind, target, "old")
            before = storage.info(target)
            assert storage.info(target) == before
            self.save(storage, kind, target, "new", 1)
            assert storage.info(target).mark != before.mark
            assert storage.info(target).modified_ns >= before.modified_ns
            assert abs(storage.info(target).modified_ns / 1e9 - time.time()) < DAY

    def test_a_checkpoint_can_be_renamed(self, tmp_path: Path) -> None:
        """All of its files move, as when a damaged checkpoint is renamed."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            self.save(storage, kind, target, "state")
            storage.rename(target, target.with_name("aside"))
            assert self.read(target) == {}
            assert self.read(target.with_name("aside")) == content(kind, "state")

    def test_a_local_path_contains_the_saved_files(self, tmp_path: Path) -> None:
        """For readers that accept only paths."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for kind in KINDS:
            target = here / kind / "m"
            self.save(storage, kind, target, "state", 1)
            with storage.local(target) as path:
                for name, text in content(kind, "state", 2).items():
                    assert Path(file_path(path, cast(Kind, kind), name)).read_text() == text

    def test_put_creates_or_replaces_a_small_file(self, tmp_path: Path) -> None:
        """The new content replaces the old one, and nothing else is left."""
        here = self.make_directory(tmp_path)
        storage = self.storage
        for text in (b"old", b"new"):
            storage.put(here / "runs" / "checkpoint", text)
            assert Location(here / "runs" / "checkpoint", storage).read(MOST) == text
            assert self.names(here / "runs") == ["checkpoint"]
