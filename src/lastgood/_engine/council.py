"""What several processes that train one model do at the same step: the chief decides and saves, the others hand in.

    chief    due -> "save" -> collects -> snapshot, write, commit -> what failed is raised at the next meeting, by all
    others   due -> told   -> hand in what each has of its own, and train on

What each can work out by itself, such as an epoch's end, nobody tells. What a clock, a metric or code of the user's
decides, the chief decides.
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
"""Returns what a process adds to a save; given an invitation, it sends its parts of the model's state, too."""


class Council:
    """The meetings of one callback's processes.

    Attributes:
        group: The processes.
        seconds: How long one of them waits for another.
        has_parts: Whether each has parts of the model's state, rather than the whole.
    """

    def __init__(self, seconds: float) -> None:
        """Begin alone.

        Args:
            seconds: How long one process waits for another.
        """
        self.group: Group = ALONE
        self.seconds = seconds
        self.has_parts = False
        self._meeting: Meeting | None = None
        self._deferred: BaseException | None = None
        self._receiving: Receiver | None = None
        self._pace = _Pace()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy, or another process, begins with: the meetings are those of this one."""
        return {**vars(self), "group": ALONE, "_meeting": None, "_receiving": None, "_deferred": None}

    def join(self, adapter: ModelAdapter) -> None:
        """Find out which other processes train the model that ``adapter`` is of."""
        self.group = group_of(adapter.backend()) if adapter.spans_processes() else ALONE

    def one_acts(self, adapter: ModelAdapter) -> AbstractContextManager[None]:
        """Have nothing that the chief does with a model in the block wait for the other processes."""
        return nullcontext() if self.group.is_alone else adapter.undistributed()

    def prepare(self, adapter: ModelAdapter, file_format: Format, meeting: Meeting) -> None:
        """Check, where each process has parts of the model, that one of them can save it.

        Raises:
            ArgumentError: The format does not take them.
            GroupError: Another process does not reach the chief, where it is to send its parts.
        """
        if self.group.is_alone:
            return
        adapter.build_optimizer()  # by all: its variables lie on the devices of all
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
                f"Process {self.group.rank} of {self.group.size} does not reach process 0 at {host}, port "
                f"{invitation.port}, where it is to send its parts of the model's state: {error}. Let the machines "
                "connect to each other at any port."
            ) from error

    def _receiver(self) -> Receiver:
        return Receiver(range(1, self.group.size), self.seconds)

    @property
    def is_open(self) -> bool:
        """Whether a meeting is going on."""
        return self._meeting is not None

    def meeting(self, *, patience: int = 1) -> Any:
        """Return a meeting that nobody leaves before all are through. See :meth:`Group.meeting`.

        Args:
            patience: How many times as long as usual to wait.
        """
        return self.group.meeting(self.seconds * patience)

    def is_due(self, schedule: Schedule, moment: Moment) -> bool:
        """Ask a schedule whether a save is due, so that all processes get the same answer."""
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
        """Have the chief do something that may save.

        Args:
            action: What the chief does; it calls :meth:`collect` before each save.
            hand_in: Returns what another process adds to a save, and sends its parts.
            verdict: Whether all wait until it is done.

        Raises:
            GroupError: Another process has failed, or does not answer.
            Exception: At the chief: what the action raises, or what an earlier one has raised since the last meeting.
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
        """Return the chief's value on all processes."""
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
        """Give, once, what takes the parts of the model that others send for this save; None if they have none."""
        receiver, self._receiving = self._receiving, None
        try:
            yield receiver
        except BaseException:
            if receiver is not None:
                receiver.close()
            raise

    def defer(self, error: BaseException) -> bool:
        """Keep an error until the next meeting, where all end; return whether it is kept, rather than to be raised."""
        if self.group.is_alone:
            return False
        self._deferred = self._deferred or error
        return True

    def take_deferred(self) -> BaseException | None:
        """Return what was kept, once."""
        error, self._deferred = self._deferred, None
        return error

    def raise_deferred(self) -> None:
        """Raise what was kept.

        Raises:
            BaseException: It, if there is anything.
        """
        error = self.take_deferred()
        if error is not None:
            raise error


class _Pace:
    """How many hooks lie between two meetings about a schedule that looks at a clock.

    Attributes:
        due: Whether a save has become due since the last.
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
        """Return how many hooks to leave out; none for an object of the user's, which may mean one hook."""
        if not schedule.is_paced:
            return 0
        took = 0.0 if self._met is None else (now - self._met) / self._hooks
        self._met = now
        return min(2 * self._hooks, int(_SECONDS_BETWEEN / took)) if took > 0 else 0

    def begin(self, pause: int) -> None:
        """Begin to count after a meeting."""
        self.due, self._left, self._hooks = False, pause, pause + 1
