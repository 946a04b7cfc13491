"""Processes that each write files of one checkpoint, over real connections on loopback."""

import contextlib
import socket
import threading
import time

import pytest

from lastgood import GroupError
from lastgood._group import Receiver, led, write_along
from lastgood._group.receiver import connect


@contextlib.contextmanager
def writing(receiver, rank, write):
    """Run another process's part in a thread; an error there is for the chief to tell."""

    def run():
        with contextlib.suppress(Exception):
            write_along("127.0.0.1", receiver.invitation, rank, 10, write)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


def test_each_process_is_told_where_to_write_and_the_chief_gets_the_files_of_all():
    receiver, told = Receiver([1, 2], 10), []

    def write(admission, busy):
        told.append(admission)
        for _ in range(3):
            busy()
        return {f"file {len(told)}": (5, 17)}

    with writing(receiver, 1, write), writing(receiver, 2, write), led(receiver, ["at", "here"]) as wait:
        assert wait() == {"file 1": (5, 17), "file 2": (5, 17)}
    assert told == [["at", "here"]] * 2


def test_a_process_may_write_for_longer_than_the_limit_while_it_makes_progress():
    receiver = Receiver([1], 1)

    def write(admission, busy):
        for _ in range(6):
            time.sleep(0.3)
            busy()
        return {}

    with writing(receiver, 1, write), led(receiver, "here") as wait:
        assert wait() == {}


def test_an_error_of_another_process_is_told_with_its_rank_and_its_cause():
    receiver = Receiver([1], 10)

    def write(admission, busy):
        raise OSError(28, "No space left on device")

    said = r"Process 1, on .*, has failed: OSError: .* No space left on device"
    with writing(receiver, 1, write), led(receiver, "here") as wait, pytest.raises(GroupError, match=said):
        wait()


def test_a_process_that_makes_no_progress_fails_the_save():
    receiver, over = Receiver([1], 0.5), threading.Event()

    def write(admission, busy):
        over.wait(10)
        return {}

    with writing(receiver, 1, write), led(receiver, "here") as wait:
        with pytest.raises(GroupError, match=r"Process 1 has not sent its part of the model's state for 0\.5 s"):
            wait()
        over.set()


def test_a_process_that_ends_fails_the_save_at_once():
    receiver = Receiver([1], 60)
    connection = connect("127.0.0.1", receiver.invitation, {"rank": 1}, 10)
    began = time.monotonic()
    with led(receiver, "here") as wait:
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        with pytest.raises(GroupError, match="Process 1 has not sent"):
            wait()
    assert time.monotonic() - began < 30


def test_a_process_that_does_not_come_is_named():
    with pytest.raises(GroupError, match="Process 1, 2 has not sent"), led(Receiver([1, 2], 0.5), "here"):
        pass


def test_a_chief_that_fails_ends_the_writing_of_the_others():
    receiver, errors = Receiver([1], 10), []

    def write(admission, busy):
        try:
            for _ in range(100):
                time.sleep(0.05)
                busy()
        except OSError as error:
            errors.append(error)
            raise
        return {}

    with writing(receiver, 1, write), contextlib.suppress(ZeroDivisionError), led(receiver, "here"):
        raise ZeroDivisionError
    assert errors
