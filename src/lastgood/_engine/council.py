"""How processes that train one model save at the same step: the chief decides and saves, the others contribute.

    chief    due -> "save"   -> collect -> snapshot, write, commit -> all raise a failure at the next meeting
    others   due -> notified -> hand in their own state -> continue training

What each process can decide by itself, such as at an epoch's end, needs no message. What depends on a clock, a metric
or user code, the chief decides.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from .._errors import ArgumentError, GroupError
from .._formats import Format
from .._group import ALONE, Group, Invitation, Meeting, Receiver, group_of
from .._keras import ModelAdapter
from .._moment import Moment
from .._policies.schedule import Schedule
from .pace import Pace

# When training begins, processes wait for one another this many times as long as at a save: they read a checkpoint.
_PATIENCE = 10

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
        self._pace = Pace()
        self._due = False  # whether a save has become due since the last meeting

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy or another process, without the group and meetings of this one."""
        return {**vars(self), "group": ALONE, "_meeting": None, "_receiving": None, "_deferred": None}

    def join(self, adapter: ModelAdapter, template: str) -> None:
        """Find the processes that train the adapter's model.

        Args:
            adapter: The model.
            template: Where this process saves.

        Raises:
            ArgumentError: They save to different paths.
        """
        self.group = group_of(adapter.backend(), self.seconds) if adapter.spans_processes() else ALONE
        apart = self._apart(template)
        if apart is not None:
            raise ArgumentError(
                f"The first process saves for all, but one of them was told to save to {apart!r}. Pass the same path "
                "in all processes."
            )

    def join_loop(self, adapter: ModelAdapter, template: str) -> None:
        """Find the processes that train the adapter's model in loops of the user's own.

        On PyTorch, a model does not tell whether DDP trains it: processes that save to different paths do not belong
        together, and each saves for itself.

        Args:
            adapter: The model.
            template: Where this process saves.

        Raises:
            ArgumentError: The model spans processes that save to different paths.
        """
        if adapter.backend() != "torch":
            self.join(adapter, template)
            return
        self.group = group_of("torch", self.seconds)
        if self._apart(template) is not None:
            self.group = ALONE

    def _apart(self, template: str) -> str | None:
        """Return where another process saves if it is not where the chief does; the answer is the same in all."""
        with self.group.meeting(self.seconds * _PATIENCE) as meeting:
            templates = meeting.collect(template.encode())
            apart = meeting.tell(next((each.decode() for each in templates if each != templates[0]), None))
        return None if apart is None else str(apart)

    def one_acts(self, adapter: ModelAdapter) -> AbstractContextManager[None]:
        """Return a context in which the chief can use a model without waiting for the other processes."""
        return nullcontext() if self.group.is_alone else adapter.undistributed()

    def prepare(self, adapter: ModelAdapter, file_format: Format) -> None:
        """Check that one process can save the model if each has only parts of it.

        Raises:
            ArgumentError: The format cannot save a split model.
        """
        if self.group.is_alone:
            return
        adapter.build_optimizer()  # in all processes: its variables are on the devices of all
        split = adapter.split_variables()
        self.has_parts = bool(split)
        with self.one_acts(adapter):
            file_format.check_processes(adapter, split)

    def receiver(self) -> Receiver:
        """Return a new receiver for what the other processes send to the chief."""
        return Receiver(range(1, self.group.size), self.seconds)

    @property
    def is_open(self) -> bool:
        """Whether a meeting is in progress."""
        return self._meeting is not None

    @contextmanager
    def beginning(self) -> Iterator[Meeting]:
        """Run what precedes training in all processes; none leaves the block before all do, and the chief alone warns.

        Raises:
            GroupError: Another process has failed in the block, or has not reached it in time.
        """
        with self.group.meeting(self.seconds * _PATIENCE) as meeting, _silent(unless=self.group.is_chief):
            yield meeting

    def is_due(self, schedule: Schedule, moment: Moment) -> bool:
        """Return whether a schedule says that a save is due, with the same answer in all processes."""
        if self.group.is_alone or schedule.is_the_same_everywhere:
            return schedule.due(moment)
        if self.group.is_chief and schedule.due(moment):
            self._due = True
        if not self._pace.comes_now():
            return False
        with self.group.meeting(self.seconds, verdict=False) as meeting:
            # A user's schedule may ask for one particular hook, so none is skipped.
            pause = self._pace.pause(moment.at) if schedule.is_paced else 0
            due, pause = meeting.tell([self._due, pause])
        self._pace.begin(pause)
        self._due = False
        return bool(due)

    def greatest(self, number: int) -> int:
        """Return the greatest number, below 256, of all processes; 0 at the steps between those where they meet."""
        if self.group.is_alone:
            return number
        if not self._pace.comes_now():
            return 0
        with self.group.meeting(self.seconds, verdict=False) as meeting:
            numbers = meeting.collect(bytes([number]))
            most, pause = meeting.tell([max(b"".join(numbers), default=0), self._pace.pause(time.monotonic())])
        self._pace.begin(pause)
        return int(most)

    def fail(self, error: BaseException) -> None:
        """Report to the others, at their next meeting, that this process has failed; wait for nobody."""
        if not isinstance(error, GroupError):
            with suppress(Exception), self.group.meeting(self.seconds, verdict=False) as meeting:
                meeting.fail(error)

    def act(self, action: Callable[[], Any], hand_in: HandIn, *, verdict: bool = False) -> Any:
        """Run an action that may save, in the chief; return what it returns, which JSON can hold, in all processes.

        Args:
            action: What the chief runs; it calls :meth:`collect` before each save. The others wait however long it
                takes, while the chief is alive.
            hand_in: Returns what another process adds to a save, and sends its parts.
            verdict: Whether all processes wait until the action is done.

        Raises:
            GroupError: Another process has failed, or does not answer.
            Exception: In the chief: the error of the action, or one that was deferred since the last meeting.
        """
        if self.group.is_alone or self.is_open:
            return action()
        try:
            with self.group.meeting(self.seconds, verdict=verdict) as self._meeting:
                if not self.group.is_chief:
                    return self._hand_in(self._meeting, hand_in)
                with self._meeting.busy():
                    self.raise_deferred()
                    value = action()
                return self._meeting.tell([False, value])[1]
        finally:
            self._meeting = None

    def _hand_in(self, meeting: Meeting, hand_in: HandIn) -> Any:
        """Add to each save that the chief begins; return what it says in the end."""
        saves, said = meeting.tell()
        while saves:
            meeting.collect(hand_in(said and Invitation(*said)))
            saves, said = meeting.tell()
        return said

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
        self._receiving = self.receiver() if self.has_parts else None
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


@contextmanager
def _silent(*, unless: bool) -> Iterator[None]:
    """Suppress warnings in the block, unless this is the process that gives them for all."""
    with warnings.catch_warnings() if not unless else nullcontext():
        if not unless:
            warnings.simplefilter("ignore")
        yield
