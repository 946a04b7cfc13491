"""How far the copy of a model's state has come, for a writer that does not wait for its end."""

import threading
import time
from collections.abc import Callable

Reached = Callable[[int], None]
"""Told up to which byte of a file everything is in its place."""

_WORTH_FOLLOWING = 64 * 1024 * 1024  # what is less is copied before a thread has started


class StateCopy:
    """The copy of a state to its places in a file: done once, in the thread that made this.

    Attributes:
        ended: When it was complete, by ``time.perf_counter()``; 0.0 before.
    """

    def __init__(self, copy: Callable[[Reached], None] | None = None, size: int = 0) -> None:
        """Get ready.

        Args:
            copy: Does it; all is there when it returns. None where all is there already.
            size: The file's length in bytes.
        """
        self.ended = 0.0
        self._copy = copy
        self._size = size
        self._owner = threading.get_ident()
        self._begun = self._failed = False
        self._there = 0
        self._change = threading.Condition()

    @property
    def worth_following(self) -> bool:
        """Whether it takes so long that a writer should begin before its end."""
        return self._size > _WORTH_FOLLOWING

    def run(self) -> None:
        """Do it, unless that has been done.

        Raises:
            BaseException: What the copy raised; who waits is told that there is nothing to wait for.
        """
        if self._begun:
            return
        self._begun = True
        try:
            if self._copy:
                self._copy(self._reach)
            self.ended = time.perf_counter()
        finally:
            self.give_up()

    def give_up(self) -> bool:
        """Have nobody wait any longer, if it is not complete; return whether it is not."""
        with self._change:
            self._failed = not self.ended
            self._change.notify_all()
        return self._failed

    def wait_for(self, stop: int) -> None:
        """Return when all before the byte ``stop`` is in its place.

        Raises:
            NotCopiedError: It never will be.
        """
        if threading.get_ident() == self._owner:  # no thread could be had for the writer
            self.run()
        with self._change:
            self._change.wait_for(lambda: self.ended or self._failed or self._there >= stop)
        if self._failed:
            raise NotCopiedError("the copy of the state came to no end")

    def _reach(self, stop: int) -> None:
        with self._change:
            self._there = stop
            self._change.notify_all()


class NotCopiedError(Exception):
    """There is no state to be written: whoever was to copy it knows why."""
