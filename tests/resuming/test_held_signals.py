"""Signals that are held back until what they would interrupt has been saved."""

import signal

import pytest

from lastgood._resuming.signals import Interruption, parse_signals


@pytest.fixture(autouse=True)
def _interruptible():
    """Have Ctrl-C interrupt, also where these tests were started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_is_not_held_back():
    told = []
    interruption = Interruption(lambda: told.append(1), lambda _: True)
    interruption.hold()
    signal.raise_signal(signal.SIGINT)
    assert told == [1]
    assert interruption.may_be_delivered
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_it_does_what_it_would_have_done_and_the_next_is_held_back_again():
    interruption = Interruption(lambda: None, lambda _: True)
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append(1))
    interruption.hold()
    signal.raise_signal(signal.SIGINT)
    assert not came
    interruption.deliver()
    assert came == [1]
    signal.raise_signal(signal.SIGINT)
    assert came == [1]
    interruption.deliver(hold=False)
    signal.raise_signal(signal.SIGINT)
    assert came == [1, 1, 1]


def test_what_nobody_trains_by_is_not_held_back():
    interruption = Interruption(lambda: None, lambda _: False)
    interruption.hold()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_an_exception_left_behind_is_not_taken_for_the_programs():
    Interruption(lambda: None, lambda _: True).hold()
    later = Interruption(lambda: None, lambda _: True)
    later.hold()
    later.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_those_that_are_named_are_held_back_and_no_others():
    numbers = parse_signals(["SIGUSR1", signal.SIGTERM, "SIGUSR1"])
    assert numbers == (signal.SIGUSR1, signal.SIGTERM)
    interruption = Interruption(lambda: None, lambda _: True, numbers)
    interruption.hold()
    signal.raise_signal(signal.SIGUSR1)
    assert interruption.name == "SIGUSR1"
    interruption.received = None
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    interruption.release()
