"""The progress of copying a model's state, for a writer that starts before the copy is complete.

copier   copies the state in the order of the file ---reached---> waits, if the window is full
writer   waits <---- wait_for ---- writes what is there ---passed--> the window moves on
"""

import contextlib
import threading
import time
from collections.abc import Callable

Reached = Callable[[int], None]
"""Called with the offset in a file up to which everything is in place."""

WINDOW = 256 * 1024 * 1024
"""How many bytes of a state are in memory at once if there is no room for all of it."""

_WORTH_FOLLOWING = 64 * 1024 * 1024  # less than that is copied before a thread has started


class StateCopy:
    """The copy of a state to its places in a file, made once, in the thread that created this object.

    Attributes:
        ended: When it was complete, by ``time.perf_counter()``; 0.0 before.
        window: The most bytes that may be in memory before they are written; 0 for all.
    """

    def __init__(self, copy: Callable[[Reached, int], None] | None = None, size: int = 0) -> None:
        """Prepare the copy.

        Args:
            copy: Makes the copy, which is complete when it returns; is given what to call with each offset reached,
                and the most bytes to copy between two calls, 0 for any number. None if everything is in place already.
            size: The file's length in bytes.
        """
        self.ended = 0.0
        self.window = 0
        self._copy = copy
        self._size = size
        self._owner = threading.get_ident()
        self._begun = self._failed = False
        self._there = self._passed = 0
        self._change = threading.Condition()

    @property
    def worth_following(self) -> bool:
        """Whether the copy takes so long that a writer should begin before it ends."""
        return self._size > _WORTH_FOLLOWING

    def run(self) -> None:
        """Make the copy, unless this was called before.

        Raises:
            BaseException: Whatever the copy raised; waiters get a NotCopiedError.
        """
        if self._begun:
            return
        self._begun = True
        try:
            with contextlib.suppress(_NotWrittenError):  # the writer's own error is told
                if self._copy:
                    self._copy(self._reach, self.window // 2)  # one half is written while the other is filled
                self.ended = time.perf_counter()
        finally:
            self.give_up()

    def give_up(self) -> bool:
        """Release all waiters; return True if the copy did not finish."""
        with self._change:
            self._failed = not self.ended
            self._change.notify_all()
        return self._failed

    def wait_for(self, stop: int) -> None:
        """Wait until all bytes before ``stop`` are in place.

        Raises:
            NotCopiedError: The copy failed.
        """
        if threading.get_ident() == self._owner:  # the writer got no thread of its own
            self.window = 0
            self.run()
        with self._change:
            self._change.wait_for(lambda: self.ended or self._failed or self._there >= stop)
        if self._failed:
            raise NotCopiedError("the copy of the state did not finish")

    def passed(self, stop: int) -> None:
        """Note that all bytes before ``stop`` are written, and no longer needed."""
        with self._change:
            self._passed = stop
            self._change.notify_all()

    def _reach(self, stop: int) -> None:
        """Note that all bytes before ``stop`` are there, and wait while more than half of the window is unwritten.

        Raises:
            _NotWrittenError: Nobody writes any more.
        """
        with self._change:
            self._there = stop
            self._change.notify_all()
            if self.window:
                self._change.wait_for(lambda: self._failed or stop - self._passed <= self.window // 2)
                if self._failed:
                    raise _NotWrittenError


class _NotWrittenError(Exception):
    """The writer has failed, so there is no reason to copy the rest."""


class NotCopiedError(Exception):
    """There is no state to write, because copying it failed; the thread that copied got the reason."""
