"""The process's one background writer: one save at a time, order kept, nothing lost at the interpreter's exit.

There is one slot. A save takes it before its snapshot, since the staging buffer is one too, and gives it back when it
is durable or has failed; so at most one thread writes, and at most one copy of a model's state is in memory.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable

from ._threads import Beside

_slot = threading.Lock()
_last: Beside[None] | None = None


def take_slot() -> float:
    """Wait until no save is under way in this process, and begin one; return the seconds that it took."""
    started = time.perf_counter()
    _slot.acquire()
    return time.perf_counter() - started


def give_slot() -> None:
    """End the save that took the slot."""
    _slot.release()


def run(work: Callable[[], None], *, background: bool) -> None:
    """Do the work of the save that has the slot, and give the slot back.

    Args:
        work: Raises nothing.
        background: Return at once, and do it in a thread.
    """
    global _last

    def work_and_give() -> None:
        try:
            work()
        finally:
            give_slot()

    if background:
        _last = Beside(work_and_give, "lastgood-writer")
    else:
        work_and_give()


def flush() -> None:
    """Return when nothing is being written in the background."""
    if _last is not None:
        _last.wait()


def _forget() -> None:
    """Start anew in a forked child: the save that may be under way is the parent's."""
    global _slot, _last
    _slot, _last = threading.Lock(), None


atexit.register(flush)
os.register_at_fork(after_in_child=_forget)
