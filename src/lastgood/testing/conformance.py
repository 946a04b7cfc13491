"""What every storage has to do, as tests that pytest collects; they need nothing of pytest but ``tmp_path``."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .._storage import entries
from .._storage.base import Storage

_KINDS = ("file", "directory", "group")
_SUFFIXES = {"file": ".keras", "directory": "", "group": ""}
_LONG = 200_000  # characters: more than any system writes or reads in one act


class StorageConformance:
    """What any storage must do that checkpoints are to lie in: a file, a directory, and a group of files.

    >>> class TestMyStorage(StorageConformance):
    ...     def make_storage(self):
    ...         return MyStorage()

    The class has to be one that another process can import: some tests kill one. A storage whose checkpoints are not
    reached by path has to say, too, what lies where: :meth:`read` and :meth:`names`.
    """

    def make_storage(self) -> Storage:
        """Return the storage to be tested, made anew."""
        raise NotImplementedError

    def read(self, path: Path) -> dict[str, str]:
        """Return the contents of all files of the checkpoint at ``path`` by name; nothing if there is none."""
        if entries.is_group(path):
            found = {member.name.removeprefix(path.name): member for member in entries.members(path)}
        elif path.is_dir():
            found = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
        else:
            found = {"": path} if path.exists() else {}
        return {name: file.read_text() for name, file in found.items()}

    def names(self, directory: Path) -> list[str]:
        """Return the names of all that lies in ``directory``, the hidden and the temporary ones, too."""
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    # Visible whole, or not at all

    def test_what_is_staged_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        """Nothing is at the target before; then all of it is, and nothing else."""
        storage = self.make_storage()
        for kind in _KINDS:
            target = tmp_path / kind / "new" / "m"
            with storage.stage(target, _SUFFIXES[kind]) as temporary:
                _write(kind, temporary, "state")
                assert temporary.name.endswith(_SUFFIXES[kind])
                assert not self.read(target)
            assert self.read(target) == _content(kind, "state")
            assert self._is_alone(target)

    def test_an_exception_leaves_what_was_there(self, tmp_path: Path) -> None:
        """Whatever ends the block, an interrupt too: the checkpoint before it is whole, and nothing else is left."""
        storage = self.make_storage()
        for kind in _KINDS:
            for error in (OSError("no"), ValueError("no"), KeyboardInterrupt()):
                target = tmp_path / kind / type(error).__name__ / "m"
                self._save(storage, kind, target, "old")
                before = self.names(target.parent)
                raised: BaseException | None = None
                try:
                    with storage.stage(target, _SUFFIXES[kind]) as temporary:
                        _write(kind, temporary, "half", parts=2)
                        raise error  # noqa: TRY301
                except BaseException as caught:  # noqa: BLE001 - it is looked at below
                    raised = caught
                assert raised is error
                assert self.read(target) == _content(kind, "old")
                assert self.names(target.parent) == before

    def test_an_exception_before_the_first_save_leaves_nothing(self, tmp_path: Path) -> None:
        """Also where the writer had written nothing yet, or only the first files of several."""
        storage = self.make_storage()
        for kind in _KINDS:
            for wrote in (False, True):
                with contextlib.suppress(RuntimeError), storage.stage(tmp_path / kind, _SUFFIXES[kind]) as temporary:
                    if wrote:
                        _write(kind, temporary, "half", finished=False)
                    raise RuntimeError
                assert self.names(tmp_path) == []

    def test_a_checkpoint_takes_the_place_of_another_whole(self, tmp_path: Path) -> None:
        """Nothing of the old one is mixed with the new one."""
        storage = self.make_storage()
        for kind in _KINDS:
            target = tmp_path / kind / "m"
            for number, text in enumerate(("first", "second", "third")):
                self._save(storage, kind, target, text, number)
                assert self.read(target) == _content(kind, text, 1 + number % 2)
                assert self._is_alone(target)

    def test_a_reader_finds_the_old_one_or_the_new_one(self, tmp_path: Path) -> None:
        """However often it looks while one takes the place of the other: never none, and never a half."""
        storage = self.make_storage()
        for kind in _KINDS:
            target = tmp_path / kind / "m"
            texts = [letter * _LONG for letter in "abcdefghijklmnop"]
            self._save(storage, kind, target, texts[0])
            with _polling(partial(self._main_file, kind, target)) as seen:
                for number, text in enumerate(texts, 1):
                    self._save(storage, kind, target, text, number)
            assert seen
            assert set(seen) <= set(texts)

    # Several at once

    def test_saves_to_one_name_at_once_are_one_commit_after_another(self, tmp_path: Path) -> None:
        """The last one is whole, and nothing is left of the others. Of a group they may be told that they were late."""
        storage = self.make_storage()
        for kind in _KINDS:
            for round_ in range(10):
                target = tmp_path / f"{kind}{round_}" / "m"
                texts = [f"{number}" * _LONG for number in range(4)]
                together = threading.Barrier(len(texts))

                def save(text: str, *, kind: str = kind, target: Path = target, together: Any = together) -> None:
                    with storage.stage(target, _SUFFIXES[kind]) as temporary:
                        _write(kind, temporary, text)
                        together.wait(60)

                errors = _errors_of(save, texts)
                assert len(errors) < len(texts) if kind == "group" else not errors
                assert {type(error) for error in errors} <= {OSError}
                assert self.read(target) in [_content(kind, text) for text in texts]
                assert self._is_alone(target)

    def test_saves_to_other_names_do_not_meet(self, tmp_path: Path) -> None:
        """All of them are there in the end."""
        storage = self.make_storage()

        def save(name: str) -> None:
            for _ in range(20):
                self._save(storage, "file", tmp_path / name, name)
                storage.reclaim(tmp_path)

        names = ["a", "b", "c", "d"]
        assert _errors_of(save, names) == []
        assert self.names(tmp_path) == names
        assert [self.read(tmp_path / name) for name in names] == [{"": name} for name in names]

    # What dies, and what only seems to

    def test_leftovers_of_a_dead_process_are_reclaimed_and_those_of_a_live_one_are_not(self, tmp_path: Path) -> None:
        """A process that is stopped is alive: it may wake."""
        storage = self.make_storage()
        for kind in _KINDS:
            directory = tmp_path / kind
            self._save(storage, kind, directory / "m", "old")
            before = self.names(directory)
            with self._in_the_middle_of_a_save(kind, directory / "m") as process:
                while_alive = self.names(directory)
                assert set(while_alive) > set(before)
                assert storage.reclaim(directory) == []
                _send(process, signal.SIGSTOP)
                assert storage.reclaim(directory) == []
                assert self.names(directory) == while_alive
                _send(process, signal.SIGKILL)
                process.join()
                assert storage.reclaim(directory)
            assert self.names(directory) == before
            assert self.read(directory / "m") == _content(kind, "old")
            assert storage.reclaim(directory) == []

    def test_a_stopped_process_that_wakes_commits(self, tmp_path: Path) -> None:
        """Whatever others have saved and reclaimed there meanwhile."""
        storage = self.make_storage()
        with self._in_the_middle_of_a_save("file", tmp_path / "m") as process:
            _send(process, signal.SIGSTOP)
            storage.reclaim(tmp_path)
            self._save(storage, "file", tmp_path / "m", "meanwhile")
            _send(process, signal.SIGCONT)
            process.go_on.set()
            process.join(60)
            assert process.exitcode == 0
        assert self.read(tmp_path / "m") == _content("file", "half")
        assert self.names(tmp_path) == ["m"]

    def test_reclaim_touches_nothing_else(self, tmp_path: Path) -> None:
        """Neither checkpoints nor other people's files; and a directory that is not there is no error."""
        storage = self.make_storage()
        for kind in _KINDS:
            self._save(storage, kind, tmp_path / kind, "state")
        for name in ("m.keras", ".hidden", "lastgood-tmp-x.keras", ".lastgood"):
            (tmp_path / name).write_text("")
        before = self.names(tmp_path)
        assert storage.reclaim(tmp_path) == []
        assert self.names(tmp_path) == before
        assert storage.reclaim(tmp_path / "absent") == []

    # The rest

    def test_what_is_discarded_is_gone_and_may_be_discarded_again(self, tmp_path: Path) -> None:
        """What lies beside it stays."""
        storage = self.make_storage()
        for kind in _KINDS:
            self._save(storage, kind, tmp_path / kind / "m", "state")
            self._save(storage, kind, tmp_path / kind / "m2", "state")
            for _ in range(2):
                storage.discard(tmp_path / kind / "m")
                assert self.read(tmp_path / kind / "m") == {}
            assert self.read(tmp_path / kind / "m2") == _content(kind, "state")
            assert self._is_alone(tmp_path / kind / "m2")

    def test_what_does_not_publish_leaves_what_is_there(self, tmp_path: Path) -> None:
        """All workers of a distributed training write, and the chief's checkpoint appears."""
        storage = self.make_storage()
        for kind in _KINDS:
            self._save(storage, kind, tmp_path / kind / "m", "chief")
            storage.publishes = False
            self._save(storage, kind, tmp_path / kind / "m", "worker", 1)
            storage.publishes = True
            assert self.read(tmp_path / kind / "m") == _content(kind, "chief")
            assert self._is_alone(tmp_path / kind / "m")

    def test_asking_whether_a_directory_takes_files_leaves_nothing(self, tmp_path: Path) -> None:
        """Nor does it make the directory."""
        self.make_storage().check_writable(tmp_path / "not" / "yet")
        assert self.names(tmp_path) == []

    def test_trainings_that_start_at_once_are_not_in_each_others_way(self, tmp_path: Path) -> None:
        """Each removes what is dead, and finds out whether it can save: what one leaves for a moment is no leftover."""
        storage = self.make_storage()

        def begin(name: str) -> None:
            for _ in range(200):
                storage.reclaim(tmp_path)
                storage.check_writable(tmp_path)
            self._save(storage, "file", tmp_path / name, name)

        assert _errors_of(begin, ["a", "b", "c", "d"]) == []
        assert self.names(tmp_path) == ["a", "b", "c", "d"]

    def test_free_space_is_known_where_nothing_is_yet(self, tmp_path: Path) -> None:
        """It is asked for before the first save."""
        assert self.make_storage().free_space(tmp_path / "not" / "yet") > 0

    def _save(self, storage: Storage, kind: str, target: Path, text: str, number: int = 0) -> None:
        with storage.stage(target, _SUFFIXES[kind]) as temporary:
            _write(kind, temporary, text, parts=1 + number % 2)

    def _is_alone(self, target: Path) -> bool:
        return all(name == target.name or name.startswith(f"{target.name}.") for name in self.names(target.parent))

    def _main_file(self, kind: str, target: Path) -> str | None:
        """Return what a reader finds: of several files one, since to read two is not one act."""
        path = {"file": target, "directory": target / "sub" / "file", "group": entries.index_of(target)}[kind]
        try:
            return path.read_text()
        except FileNotFoundError:
            return None

    @contextmanager
    def _in_the_middle_of_a_save(self, kind: str, target: Path) -> Iterator[Any]:
        """Give a process that has written its files, and commits them when it is told to go on."""
        spawn = multiprocessing.get_context("spawn")
        ready, go_on = spawn.Event(), spawn.Event()
        process = spawn.Process(target=_save_slowly, args=(self, kind, target, ready, go_on), daemon=True)
        process.go_on = go_on  # type: ignore[attr-defined]
        process.start()
        try:
            assert ready.wait(60), "the process has not come to write"
            yield process
        finally:
            process.kill()
            process.join()


def _save_slowly(suite: StorageConformance, kind: str, target: Path, ready: Any, go_on: Any) -> None:
    with suite.make_storage().stage(target, _SUFFIXES[kind]) as temporary:
        _write(kind, temporary, "half", parts=2)
        ready.set()
        go_on.wait(600)


def _write(kind: str, path: Path, text: str, *, parts: int = 1, finished: bool = True) -> None:
    """Write a checkpoint to a temporary path, as a format does; or the first files of it."""
    if kind == "file":
        path.write_text(text)
    elif kind == "directory":
        (path / "sub").mkdir(parents=True)
        (path / "sub" / "file").write_text(text)
        if finished and parts > 1:
            (path / "more").write_text(text)
    else:
        for part in range(parts):
            path.with_name(f"{path.name}.data-{part:05d}-of-{parts:05d}").write_text(text)
        if finished:
            entries.index_of(path).write_text(text)


def _content(kind: str, text: str, parts: int = 1) -> dict[str, str]:
    """Return what :meth:`StorageConformance.read` has to find."""
    if kind == "file":
        return {"": text}
    if kind == "directory":
        return {"sub/file": text, **({"more": text} if parts > 1 else {})}
    return {entries.INDEX: text, **{f".data-{part:05d}-of-{parts:05d}": text for part in range(parts)}}


@contextmanager
def _polling(look: Callable[[], str | None]) -> Iterator[list[str | None]]:
    """Look again and again in a thread; give the list of what was seen."""
    seen: list[str | None] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.is_set():
            found = look()
            if not seen or found != seen[-1]:
                seen.append(found)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _errors_of(work: Callable[[str], None], arguments: list[str]) -> list[Exception]:
    """Do ``work`` in a thread for each argument, all at once; return what they raised."""
    errors: list[Exception] = []

    def run(argument: str) -> None:
        try:
            work(argument)
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            errors.append(error)

    threads = [threading.Thread(target=run, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def _send(process: Any, number: int) -> None:
    os.kill(process.pid, number)
    time.sleep(0.05 if number == signal.SIGSTOP else 0)
