"""The storage under test, and helpers that all its tests use."""

import errno
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, ClassVar, cast
from unittest import SkipTest

from ..._storage import Location, Storage, groups
from ..._storage.base import Kind, file_path
from .tools import MOST, SUFFIXES, User, write


class StorageSuite:
    """The base class of the suites: facts about the storage under test, and helpers.

    Attributes:
        outlives_processes: Whether other processes see what one has saved. If not, tests that kill one are skipped.
        reads_on: Whether an open file stays readable after another one has replaced it. If not, reading it must raise
            an OSError whose ``errno`` is ``ESTALE``.
        replaces_open_files: Whether a file can be replaced while it is open. If not, a save waits, and finally fails.
        starts: How many times each of several concurrent trainings starts.
    """

    outlives_processes: ClassVar[bool] = True
    reads_on: ClassVar[bool] = True
    replaces_open_files: ClassVar[bool] = True
    starts: ClassVar[int] = 200

    def make_storage(self) -> Storage:
        """Return the storage to test; it may be the same one each time."""
        raise NotImplementedError

    def make_directory(self, tmp_path: Path) -> PurePath:
        """Return an empty path in the storage; by default, a local directory.

        Args:
            tmp_path: The test's own local directory.
        """
        return tmp_path

    @cached_property
    def storage(self) -> Storage:
        """The storage, created once per test."""
        return self.make_storage()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, which creates its own storage."""
        return {name: value for name, value in vars(self).items() if name != "storage"}

    def read(self, path: PurePath) -> dict[str, str]:
        """Return the contents of all files of the checkpoint at ``path`` by name; empty if there is none."""
        at = Location(path, self.storage)
        if at.kind is None:
            return {}
        return {name: str(at.file(name).read(MOST), "utf-8") for name in at.files()}

    def names(self, directory: PurePath) -> list[str]:
        """Return the names of all entries of ``directory``, including hidden and temporary ones."""
        try:
            return sorted(entry.name for entry in self.storage.entries(directory))
        except FileNotFoundError:
            return []

    def save(
        self, storage: Storage, kind: str, target: PurePath, text: str, number: int = 0, *, publish: bool = True
    ) -> None:
        """Save a checkpoint of a kind whose files contain a text; an odd ``number`` adds one file."""
        with storage.stage(target, SUFFIXES[kind], publish=publish) as stage:
            write(kind, stage.path, text, parts=1 + number % 2)

    def is_alone(self, target: PurePath) -> bool:
        """Return True if the directory contains nothing but the checkpoint."""
        return all(name == target.name or name.startswith(f"{target.name}.") for name in self.names(target.parent))

    def main_file(self, kind: str, target: PurePath) -> str | None:
        """Return what a reader finds; of several files, only one, since reading two is not atomic."""
        name = {"file": "", "directory": "sub/file", "group": groups.INDEX}[kind]
        while True:
            try:
                with self.storage.open(file_path(target, cast(Kind, kind), name)) as file:
                    return str(file.read(0, file.size), "utf-8")
            except FileNotFoundError:
                return None
            except OSError as error:
                if self.reads_on or error.errno != errno.ESTALE:
                    raise

    @contextmanager
    def in_the_middle_of_a_save(self, kind: str, target: PurePath) -> Iterator[Any]:
        """Yield a process that has written its files, and commits them when its ``go_on`` is set."""
        if not self.outlives_processes:
            raise SkipTest("other processes cannot see what one saves in this storage")
        spawn = multiprocessing.get_context("spawn")
        ready, go_on = spawn.Event(), spawn.Event()
        process = spawn.Process(target=save_slowly, args=(self, kind, target, ready, go_on), daemon=True)
        process.go_on = go_on  # type: ignore[attr-defined]
        process.start()
        try:
            assert ready.wait(60), "the process did not write within 60 s"
            yield process
        finally:
            process.kill()
            process.join()


def claim_and_wait(suite: StorageSuite, directory: PurePath, ready: Any) -> None:
    """Claim paths, and keep them until the process is killed."""
    user = User()
    suite.make_storage().claim(directory, "{epoch}.keras", user, leave_lock=True)
    ready.set()
    time.sleep(600)
    del user


def save_slowly(suite: StorageSuite, kind: str, target: PurePath, ready: Any, go_on: Any) -> None:
    """Write a checkpoint, and commit it when ``go_on`` is set."""
    with suite.make_storage().stage(target, SUFFIXES[kind]) as stage:
        write(kind, stage.path, "half", parts=2)
        ready.set()
        go_on.wait(600)
