"""The only background writer of the process: one save at a time, in order, none lost at the interpreter's exit.

There is one staging buffer, so a save begins only after the previous one has ended: at most one thread writes, and at
most one copy of a model's state is in memory, however many callbacks there are.
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
    """Wait until no save is under way in this process; no other begins until the block ends."""
    with _turn:
        flush()
        yield


@contextmanager
def turn_if_free() -> Iterator[bool]:
    """Yield whether no save is under way; if so, none begins until the block ends."""
    taken = _turn
    free = taken.acquire(blocking=False)
    try:
        yield free and (_last is None or _last.wait(0))
    finally:
        if free:
            taken.release()


def run(work: Callable[[], None], *, background: bool) -> None:
    """Run the work of a save, in its turn.

    Args:
        work: The work; it must not raise.
        background: Whether to return at once and run it in a thread.
    """
    global _last
    if background:
        _last = Beside(work, "lastgood-writer")  # stored before it is started: see Beside
        _last.start()
    else:
        work()


def flush() -> None:
    """Wait until nothing is being written in the background; return at once in the writer's own thread."""
    if _last is not None and not _last.is_current:
        _last.wait()


def _forget() -> None:
    """Reset the writer in a forked child: a save that may be under way belongs to the parent."""
    global _turn, _last
    _turn, _last = threading.Lock(), None


atexit.register(flush)
in_forked_children(_forget)
