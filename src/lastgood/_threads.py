"""Functions run beside others, also while the interpreter ends, when pools and new threads are refused."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_MOST_THREADS = 8

importing = threading.RLock()
"""Held while large packages are imported: to two threads that each wait for the other, Python gives half a module."""


class Beside(Generic[T]):
    """Work that goes on in a thread; where no thread can be had, it is done at once.

    Whoever is to wait for it holds it before it is started, so that an interrupt leaves no work that nobody knows of.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        """Get ready.

        Args:
            work: What to do; what it returns or raises, :meth:`result` returns or raises.
            name: The thread's name.
        """
        self._work = work
        self._outcome: T | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._ended.set()  # there is nothing to wait for yet
        self._claim = threading.Lock()
        # A daemon: Python would otherwise wait for it at exit before it asks anyone whether that is wanted.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start."""
        try:
            self._ended.clear()
            self._thread.start()
        except RuntimeError:
            self._run()
        except BaseException:  # an interrupt, before the thread began or after: the work is done whole, or not at all
            if self._claim.acquire(blocking=False):
                self._ended.set()
            raise

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._outcome = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error
        finally:
            self._ended.set()

    @property
    def is_current(self) -> bool:
        """Whether the code that asks is run by it."""
        return threading.current_thread() is self._thread

    @property
    def has_failed(self) -> bool:
        """Whether the work has raised something."""
        return self._error is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the work is done, at most ``timeout`` seconds; return whether it is, or will never be."""
        return self._ended.wait(timeout)

    def result(self) -> T:
        """Wait, and return what the work returned."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._outcome  # type: ignore[return-value] # it is a T once the work is done without an error


def spread(work: Callable[[Sequence[T]], None], items: Sequence[T], count: int) -> None:
    """Do ``work`` on shares of ``items`` in ``count`` threads, this one among them; return when all of it is done.

    Raises:
        BaseException: What the work raised.
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
    """Return what ``work`` returns for each item, in order; it is done in up to ``count`` threads.

    Raises:
        BaseException: What the work raised.
    """
    found: dict[int, R] = {}

    def do(places: Sequence[int]) -> None:
        for place in places:
            found[place] = work(items[place])

    spread(do, range(len(items)), min(count, len(items)))
    return [found[place] for place in range(len(items))]


def cores() -> int:
    """Return how many threads can run at once, for work that memory limits: more than a few gain nothing."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _MOST_THREADS)


def in_forked_children(forget: Callable[[], None]) -> None:
    """Have a function called in each child that is forked from now on; some systems fork none."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=forget)


def _forget() -> None:
    """Start anew in a forked child: whoever imports, it is none of its threads."""
    importing._at_fork_reinit()  # type: ignore[attr-defined]


in_forked_children(_forget)
