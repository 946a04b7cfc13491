"""How processes that train one model save at the same step: the chief decides and saves, the others contribute.

    chief    due -> "save"   -> collect -> snapshot, write, commit -> all raise a failure at the next meeting
    others   due -> notified -> hand in their own state -> continue training

What each process can decide by itself, such as at an epoch's end, needs no message. What depends on a clock, a metric
or user code, the chief decides.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from .._errors import GroupError
from .._formats import Format
from .._group import ALONE, Group, Invitation, Meeting, Receiver, group_of, send
from .._keras import ModelAdapter
from .._moment import Moment
from .._policies.schedule import Schedule

_SECONDS_BETWEEN = 0.2


HandIn = Callable[[Invitation | None], bytes]
"""Returns what a process adds to a save; with an invitation, it also sends its parts of the model's state."""


class Council:
    """The meetings of one callback's processes.

    Attributes:
        group: The processes.
        seconds: How many seconds one process waits for another.
        has_parts: Whether each process has only parts of the model's state.
    """

    def __init__(self, seconds: float) -> None:
        """Start with one process.

        Args:
            seconds: How many seconds one process waits for another.
        """
        self.group: Group = ALONE
        self.seconds = seconds
        self.has_parts = False
        self._meeting: Meeting | None = None
        self._deferred: BaseException | None = None
        self._receiving: Receiver | None = None
        self._pace = _Pace()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy or another process, without the group and meetings of this one."""
        return {**vars(self), "group": ALONE, "_meeting": None, "_receiving": None, "_deferred": None}

    def join(self, adapter: ModelAdapter) -> None:
        """Find the processes that train the adapter's model."""
        self.group = group_of(adapter.backend()) if adapter.spans_processes() else ALONE

    def one_acts(self, adapter: ModelAdapter) -> AbstractContextManager[None]:
        """Return a context in which the chief can use a model without waiting for the other processes."""
        return nullcontext() if self.group.is_alone else adapter.undistributed()

    def prepare(self, adapter: ModelAdapter, file_format: Format, meeting: Meeting) -> None:
        """Check that one process can save the model if each has only parts of it.

        Raises:
            ArgumentError: The format cannot save a split model.
            GroupError: A process cannot reach the chief to send its parts.
        """
        if self.group.is_alone:
            return
        adapter.build_optimizer()  # in all processes: its variables are on the devices of all
        split = adapter.split_variables()
        self.has_parts = bool(split)
        with self.one_acts(adapter):
            file_format.check_processes(adapter, split)
        if split:
            self._check_ways(meeting)

    def _check_ways(self, meeting: Meeting) -> None:
        if self.group.is_chief:
            receiver = self._receiver()
            meeting.tell(receiver.invitation)
            receiver.receive([], 0)
            return
        host, invitation = self.group.chief_host, Invitation(*meeting.tell())
        try:
            send(host, invitation, self.group.rank, [], self.seconds)
        except OSError as error:
            raise GroupError(
                f"Process {self.group.rank} of {self.group.size} cannot reach process 0 at {host}, port "
                f"{invitation.port}, to send its parts of the model's state: {error}. Let the machines "
                "connect to each other on any port."
            ) from error

    def _receiver(self) -> Receiver:
        return Receiver(range(1, self.group.size), self.seconds)

    @property
    def is_open(self) -> bool:
        """Whether a meeting is in progress."""
        return self._meeting is not None

    def meeting(self, *, patience: int = 1) -> Any:
        """Return a meeting that no process leaves before all have finished. See :meth:`Group.meeting`.

        Args:
            patience: The factor by which to wait longer than usual.
        """
        return self.group.meeting(self.seconds * patience)

    def is_due(self, schedule: Schedule, moment: Moment) -> bool:
        """Return whether a schedule says that a save is due, with the same answer in all processes."""
        if self.group.is_alone or schedule.is_the_same_everywhere:
            return schedule.due(moment)
        due = self.group.is_chief and schedule.due(moment)
        if not self._pace.comes_now(due=due):
            return False
        with self.group.meeting(self.seconds, verdict=False) as meeting:
            due, pause = meeting.tell([self._pace.due, self._pace.pause(moment.at, schedule)])
        self._pace.begin(pause)
        return bool(due)

    def act(self, action: Callable[[], object], hand_in: HandIn, *, verdict: bool = False) -> None:
        """Run an action that may save, in the chief.

        Args:
            action: What the chief runs; it calls :meth:`collect` before each save.
            hand_in: Returns what another process adds to a save, and sends its parts.
            verdict: Whether all processes wait until the action is done.

        Raises:
            GroupError: Another process has failed, or does not answer.
            Exception: In the chief: the error of the action, or one that was deferred since the last meeting.
        """
        if self.group.is_alone or self.is_open:
            action()
            return
        try:
            with self.group.meeting(self.seconds, verdict=verdict) as self._meeting:
                if self.group.is_chief:
                    self.raise_deferred()
                    action()
                    self._meeting.tell([False, None])
                else:
                    self._hand_in(self._meeting, hand_in)
        finally:
            self._meeting = None

    def _hand_in(self, meeting: Meeting, hand_in: HandIn) -> None:
        """Add to each save that the chief begins."""
        saves, invitation = meeting.tell()
        while saves:
            meeting.collect(hand_in(invitation and Invitation(*invitation)))
            saves, invitation = meeting.tell()

    def share(self, value: Any) -> Any:
        """Return the chief's value in all processes."""
        if self.group.is_alone:
            return value
        with self.group.meeting(self.seconds, verdict=False) as meeting:
            return meeting.tell(value)

    def collect(self) -> Sequence[bytes]:
        """Return what the other processes add to a save that begins now; nothing if there are none."""
        if self._meeting is None:
            return ()
        self._receiving = self._receiver() if self.has_parts else None
        self._meeting.tell([True, self._receiving and self._receiving.invitation])
        return self._meeting.collect()[1:]

    @contextmanager
    def receiving(self) -> Iterator[Receiver | None]:
        """Yield, once, the receiver of the model parts that others send for this save; None if they have none."""
        receiver, self._receiving = self._receiving, None
        try:
            yield receiver
        except BaseException:
            if receiver is not None:
                receiver.close()
            raise

    def defer(self, error: BaseException) -> bool:
        """Keep an error until the next meeting, where all end; return False if it must be raised now."""
        if self.group.is_alone:
            return False
        self._deferred = self._deferred or error
        return True

    def take_deferred(self) -> BaseException | None:
        """Return the deferred error, once; None if there is none."""
        error, self._deferred = self._deferred, None
        return error

    def raise_deferred(self) -> None:
        """Raise the deferred error, if there is one.

        Raises:
            BaseException: The deferred error.
        """
        error = self.take_deferred()
        if error is not None:
            raise error


class _Pace:
    """The number of hooks between two meetings about a schedule that depends on a clock.

    Attributes:
        due: Whether a save has become due since the last meeting.
    """

    def __init__(self) -> None:
        self.due = False
        self._left = 0
        self._met: float | None = None
        self._hooks = 1

    def comes_now(self, *, due: bool) -> bool:
        """Count a hook, and return True if the processes meet in it."""
        self.due = self.due or due
        self._left -= 1
        return self._left < 0

    def pause(self, now: float, schedule: Schedule) -> int:
        """Return how many hooks to skip; 0 for a user's schedule, which may ask for one particular hook."""
        if not schedule.is_paced:
            return 0
        took = 0.0 if self._met is None else (now - self._met) / self._hooks
        self._met = now
        return min(2 * self._hooks, int(_SECONDS_BETWEEN / took)) if took > 0 else 0

    def begin(self, pause: int) -> None:
        """Start counting after a meeting."""
        self.due, self._left, self._hooks = False, pause, pause + 1
