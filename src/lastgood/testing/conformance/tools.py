"""Helpers of the suite: checkpoints to write, threads, and processes."""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..._storage import Extent, Image, Span, groups
from ..._storage.direct import whole_blocks

KINDS = ("file", "directory", "group")
SUFFIXES = {"file": ".keras", "directory": "", "group": ""}
MOST = 1 << 20
DAY = 24 * 3600.0
SEAL = b"sealed"
LARGE = 40_000_001  # bytes: more than is written before the rest is sealed
LONG = 200_000  # characters: more than any system writes or reads in one call


class StateInMemory:
    """A file in memory that is filled on demand, and sealed at both ends."""

    def __init__(self, size: int) -> None:
        self._memory = np.frombuffer(mmap.mmap(-1, whole_blocks(size)), np.uint8)
        self._state = np.random.default_rng(size).integers(1, 256, size, np.uint8)
        self._there = 0
        self._filling = threading.Lock()

    def image(self) -> Image:
        """Return the image from which a storage writes the file."""
        return Image(self._memory, Span(0, len(self._state) - len(SEAL)), self._seal, self._fill)

    def expected(self) -> bytes:
        """Return the content that it must have in the end."""
        return SEAL + self._state[len(SEAL) : -len(SEAL)].tobytes() + SEAL

    def _fill(self, stop: int) -> None:
        with self._filling:
            if stop > self._there:
                self._memory[self._there : stop] = self._state[self._there : stop]
                self._there = stop

    def _seal(self) -> tuple[int, list[Extent]]:
        size = len(self._state)
        ends = [Extent(0, len(SEAL)), Extent(size - len(SEAL), len(SEAL))]
        for offset, length in ends:
            self._memory[offset : offset + length] = np.frombuffer(SEAL, np.uint8)
        return size, ends


class User:
    """A user that claims paths."""


def raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    """Return True if a call raises an error of a kind."""
    try:
        call()
    except kind:
        return True
    return False


def write(kind: str, path: Path, text: str, *, parts: int = 1, finished: bool = True) -> None:
    """Write a checkpoint, or only its first files, to a temporary path, as a format does."""
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
            groups.index_of(path).write_text(text)


def content(kind: str, text: str, parts: int = 1) -> dict[str, str]:
    """Return what :meth:`StorageConformance.read` must find."""
    if kind == "file":
        return {"": text}
    if kind == "directory":
        return {"sub/file": text, **({"more": text} if parts > 1 else {})}
    return {groups.INDEX: text, **{f".data-{part:05d}-of-{parts:05d}": text for part in range(parts)}}


@contextmanager
def polling(look: Callable[[], str | None], pause: float) -> Iterator[list[str | None]]:
    """Poll in a thread, with a pause in seconds; yield the list of what was seen, without repetitions in a row."""
    seen: list[str | None] = []
    errors: list[Exception] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(pause):
            found = look()
            if not seen or found != seen[-1]:
                seen.append(found)

    def poll_all() -> None:
        errors.extend(errors_of(lambda _: poll(), [""]))

    thread = threading.Thread(target=poll_all)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
    assert errors == []


def errors_of(work: Callable[[str], None], arguments: list[str]) -> list[Exception]:
    """Call ``work`` with each argument in a thread of its own, all at once; return the errors that it raised."""
    errors: list[Exception] = []

    def run(argument: str) -> None:
        try:
            work(argument)
        except Exception as error:  # noqa: BLE001 - returned to the caller
            errors.append(error)

    threads = [threading.Thread(target=run, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def stop(process: Any) -> None:
    """Suspend a process if the system can, and wait a moment until it has stopped."""
    if hasattr(signal, "SIGSTOP"):
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.05)


def wake(process: Any) -> None:
    """Continue a suspended process."""
    if hasattr(signal, "SIGCONT"):
        os.kill(process.pid, signal.SIGCONT)
