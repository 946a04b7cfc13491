"""A group of processes that train one model in lockstep."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .mailbox import Mailbox
from .meeting import Meeting


class Group:
    """The processes of one training, including this one. The first, the chief, decides and writes.

    Attributes:
        rank: The rank of this process, from 0.
        size: The number of processes.
        preempted: Called before each step; returns whether all processes must stop after it. None if not available.
        chief_host: The host of the chief, as the others reach it.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        mailbox: Mailbox | None = None,
        preempted: Callable[[], bool] | None = None,
        chief_host: str = "localhost",
    ) -> None:
        """Create a group; without a mailbox, it has one member.

        Args:
            rank: The rank of this process, from 0.
            size: The number of processes.
            mailbox: Where the processes leave messages.
            preempted: Called before each step; returns whether all processes must stop after it. None if not available.
            chief_host: The host of the chief, as the others reach it.
        """
        self.rank = rank
        self.size = size
        self._mailbox = mailbox
        self.preempted = preempted
        self.chief_host = chief_host
        self._meetings = 0
        self._read: list[str] = []  # the chief's messages; a process that answers in the next meeting has read them

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether this is the only process."""
        return self.size == 1

    @contextmanager
    def meeting(self, seconds: float, *, verdict: bool = True) -> Iterator[Meeting]:
        """Run this block in all processes together; each must enter its meetings in the same order.

        An exception in one process ends the block in all: those that wait for a message raise a GroupError.

        Args:
            seconds: How long a process waits for another.
            verdict: Whether no process leaves the block before all have reached its end.

        Raises:
            GroupError: A RuntimeError: another process has failed in the block, or has not reached it in time.
        """
        self._meetings += 1
        meeting = Meeting(self.rank, self.size, self._mailbox, f"lastgood/{self._meetings}", seconds, self._read)
        meeting.preempted = self.preempted
        try:
            yield meeting
        except BaseException as error:
            meeting.fail(error)
            raise
        if verdict:
            meeting.conclude()


ALONE = Group()
"""The group of a process that trains alone."""
