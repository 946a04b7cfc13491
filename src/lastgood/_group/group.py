"""A group of processes that train one model in step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .mailbox import Mailbox
from .meeting import Meeting


class Group:
    """The processes of one training, of which this one is a member. The first, the chief, decides and writes.

    Attributes:
        rank: Which of them this is, counted from 0.
        size: How many there are.
        preempted: Tells, before each step, whether all processes are to end after that one; None if nobody tells.
        chief_host: The machine of the first process, as the others reach it.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        mailbox: Mailbox | None = None,
        preempted: Callable[[], bool] | None = None,
        chief_host: str = "localhost",
    ) -> None:
        """Take what is known of it; without a mailbox it has one member.

        Args:
            rank: Which of them this is.
            size: How many there are.
            mailbox: Where they leave messages.
            preempted: Tells, before each step, whether all are to end after that one; None if nobody tells.
            chief_host: The machine of the first process, as the others reach it.
        """
        self.rank = rank
        self.size = size
        self._mailbox = mailbox
        self.preempted = preempted
        self.chief_host = chief_host
        self._meetings = 0
        self._read: list[str] = []  # messages of the chief that all have read once they have answered the next

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that decides."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @contextmanager
    def meeting(self, seconds: float, *, verdict: bool = True) -> Iterator[Meeting]:
        """Have all processes go through this block together; each comes to its meetings in the same order.

        What one of them raises in the block ends it for all: those that wait for a word raise a GroupError. With a
        verdict, none leaves the block before all have come to its end.

        Args:
            seconds: How long one of them waits for another.
            verdict: Whether to wait at the end until all are through.

        Raises:
            GroupError: A RuntimeError: another process has failed in the block, or has not come to it in time.
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
"""One process."""
