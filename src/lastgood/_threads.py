"""Background threads that also work during interpreter shutdown, when Python refuses pools and new threads."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_MOST_THREADS = 8

importing = threading.RLock()
"""Held while large packages are imported: Python ends an import deadlock with a partially initialized module."""


class Beside(Generic[T]):
    """Work that runs in a thread, or at once in the caller if no thread can be started.

    Store the object before you start it, so that an interrupt cannot leave work running that nothing refers to.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        """Prepare the work without starting it.

        Args:
            work: The function to run; :meth:`result` returns its result or raises its exception.
            name: The thread's name.
        """
        self._work = work
        self._outcome: T | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._ended.set()  # there is nothing to wait for yet
        self._claim = threading.Lock()
        # A daemon: otherwise Python would wait for the thread at exit, before any exit handler runs.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the work."""
        try:
            self._ended.clear()
            self._thread.start()
        except RuntimeError:
            self._run()
        except BaseException:  # an interrupt, before or after the thread began: the work runs completely or not at all
            if self._claim.acquire(blocking=False):
                self._ended.set()
            raise

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._outcome = self._work()
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._error = error
        finally:
            self._ended.set()

    @property
    def is_current(self) -> bool:
        """Whether the caller is running in the thread of this work."""
        return threading.current_thread() is self._thread

    @property
    def has_failed(self) -> bool:
        """Whether the work has raised an exception."""
        return self._error is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds for the work; return True once it is done or will never run."""
        return self._ended.wait(timeout)

    def result(self) -> T:
        """Wait for the work and return its result."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._outcome  # type: ignore[return-value] # it is a T once the work is done without an error


def spread(work: Callable[[Sequence[T]], None], items: Sequence[T], count: int) -> None:
    """Run ``work`` on slices of ``items`` in ``count`` threads, including this one; return when all are done.

    Raises:
        BaseException: The exception that ``work`` raised.
    """
    others = [Beside(partial(work, items[i::count]), "lastgood-share") for i in range(1, count)]
    try:
        for other in others:
            other.start()
        work(items[:: max(1, count)])
    finally:
        for other in others:
            other.wait()
    for other in others:
        other.result()


def each_of(work: Callable[[T], R], items: Sequence[T], count: int) -> list[R]:
    """Return ``work(item)`` for each item, in order, computed in up to ``count`` threads.

    Raises:
        BaseException: The exception that ``work`` raised.
    """
    found: dict[int, R] = {}

    def do(places: Sequence[int]) -> None:
        for place in places:
            found[place] = work(items[place])

    spread(do, range(len(items)), min(count, len(items)))
    return [found[place] for place in range(len(items))]


def cores() -> int:
    """Return the number of usable cores, capped: memory-bound work gains nothing from more than a few threads."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _MOST_THREADS)


def in_forked_children(forget: Callable[[], None]) -> None:
    """Call ``forget`` in each child that is forked from now on, on systems that can fork."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=forget)


def _forget() -> None:
    """Reset the lock in a forked child: a thread that imports in the parent does not exist there."""
    importing._at_fork_reinit()  # type: ignore[attr-defined]


in_forked_children(_forget)
