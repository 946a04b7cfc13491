"""The process's one background writer: one save at a time, order kept, nothing lost at the interpreter's exit.

There is one staging buffer, so a save begins when the one before it has ended: at most one thread writes, and at most
one copy of a model's state is in memory, however many callbacks there are.
"""

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._threads import Beside, in_forked_children

_turn = threading.Lock()
_last: Beside[None] | None = None


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no save is under way in this process; until the block ends, no other begins."""
    with _turn:
        flush()
        yield


@contextmanager
def turn_if_free() -> Iterator[bool]:
    """Give whether no save is under way; if none is, none begins until the block ends."""
    taken = _turn
    free = taken.acquire(blocking=False)
    try:
        yield free and (_last is None or _last.wait(0))
    finally:
        if free:
            taken.release()


def run(work: Callable[[], None], *, background: bool) -> None:
    """Do the work of a save, in its turn.

    Args:
        work: Raises nothing.
        background: Return at once, and do it in a thread.
    """
    global _last
    if background:
        _last = Beside(work, "lastgood-writer")  # known before it is started: see Beside
        _last.start()
    else:
        work()


def flush() -> None:
    """Return when nothing is being written in the background; at once if it is the writer's thread that asks."""
    if _last is not None and not _last.is_current:
        _last.wait()


def _forget() -> None:
    """Start anew in a forked child: the save that may be under way is the parent's."""
    global _turn, _last
    _turn, _last = threading.Lock(), None


atexit.register(flush)
in_forked_children(_forget)
