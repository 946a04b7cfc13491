"""How processes agree: here, threads with a mailbox in memory instead of a server."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lastgood import GroupError
from lastgood._group.group import ALONE, Group
from lastgood._group.mailbox import Mailbox


class InMemory(Mailbox):
    """Messages of one process."""

    outlives_chief = True

    def __init__(self):
        self.messages = {}
        self._changed = threading.Condition()

    def put(self, name, message):
        with self._changed:
            self.messages[name] = message
            self._changed.notify_all()

    def take(self, name, seconds):
        with self._changed:
            self._changed.wait_for(lambda: name in self.messages, seconds)
            return self.messages.get(name)

    def drop(self, name):
        self.messages.pop(name, None)


def together(part, size=3, mailbox=None):
    """Call ``part`` once per process, with its group; return what each call returned or raised, and the mailbox."""
    mailbox = mailbox or InMemory()

    def run(rank):
        try:
            return part(Group(rank, size, mailbox))
        except Exception as error:  # noqa: BLE001 - the error is the result
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size))), mailbox


def test_the_chief_sends_to_all_and_collects_from_all():
    def part(group):
        with group.meeting(10) as meeting:
            told = meeting.tell("a word" if group.is_chief else "unheard")
            return told, meeting.collect(bytes([group.rank]))

    found, _ = together(part)
    assert found == [("a word", [b"\0", b"\1", b"\2"]), ("a word", []), ("a word", [])]


def test_a_single_process_needs_no_messages():
    with ALONE.meeting(10) as meeting:
        assert meeting.tell(3) == 3
        assert meeting.collect(b"x") == [b"x"]


@pytest.mark.parametrize("culprit", [0, 2])
def test_an_error_in_one_process_ends_the_meeting_for_all(culprit):
    def part(group):
        with group.meeting(10) as meeting:
            if group.rank == culprit:
                raise ValueError("too much")
            meeting.tell(1)
            meeting.collect()

    found, _ = together(part)
    assert isinstance(found[culprit], ValueError)
    for rank in {0, 1, 2} - {culprit}:
        assert isinstance(found[rank], GroupError)
        assert f"Process {culprit} of 3" in str(found[rank])
        assert "ValueError: too much" in str(found[rank])


@pytest.mark.parametrize("absent", [0, 1])
def test_an_absent_process_is_named_after_the_timeout(absent):
    def part(group):
        if group.rank == absent:
            return
        with group.meeting(0.2) as meeting:
            meeting.tell(1)

    began = time.monotonic()
    found, _ = together(part)
    assert time.monotonic() - began < 20
    assert f"Process {absent} of 3 has not answered" in str(found[2])


def test_messages_do_not_pile_up():
    def part(group):
        for _ in range(50):
            with group.meeting(10) as meeting:
                meeting.tell(1)

    found, mailbox = together(part)
    assert found == [None] * 3
    assert len(mailbox.messages) < 10


class Dying(InMemory):
    """Messages that are lost when the chief leaves its last meeting."""

    outlives_chief = False


def test_the_chief_leaves_last_if_the_messages_are_lost_with_it():
    mailbox, left = Dying(), []

    def part(rank):
        with Group(rank, 3, mailbox).meeting(10) as meeting:
            meeting.tell(1)
            if rank == 2:
                time.sleep(0.3)
        left.append(rank)
        if rank == 0:
            mailbox.messages.clear()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(part, range(3)))
    assert sorted(left) == [0, 1, 2]


class FarAway(InMemory):
    """Messages on another continent: an answer takes 100 ms, and whoever waits for less gets none."""

    def take(self, name, seconds):
        time.sleep(min(seconds, 0.1))
        return super().take(name, seconds - 0.1) if seconds > 0.1 else None


@pytest.mark.parametrize("mailbox", [InMemory, FarAway])
def test_the_others_wait_for_a_busy_chief_longer_than_the_timeout(mailbox):
    def part(group):
        with group.meeting(0.3) as meeting:
            if group.is_chief:
                with meeting.busy():
                    time.sleep(1.5)
            return meeting.tell("done")

    found, used = together(part, mailbox=mailbox())
    assert found == ["done"] * 3
    assert len(used.messages) < 10


def test_a_chief_that_was_busy_and_hangs_is_named_after_the_timeout():
    def part(group):
        with group.meeting(0.3, verdict=False) as meeting:
            if group.is_chief:
                with meeting.busy():
                    time.sleep(0.5)
                return None
            return meeting.tell()

    found, _ = together(part)
    assert "Process 0 of 3 has not answered" in str(found[1])
