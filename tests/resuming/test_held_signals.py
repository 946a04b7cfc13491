"""Signals that are held back until the training that they would interrupt has been saved."""

import signal

import pytest

from lastgood._resuming.signals import Interruption, parse_signals


@pytest.fixture(autouse=True)
def _interruptible():
    """Make Ctrl-C interrupt, even if these tests were started with it ignored."""
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


def test_delivery_calls_the_previous_handler_and_holds_back_the_next_signal():
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


def test_a_signal_is_not_held_back_when_nothing_is_training():
    interruption = Interruption(lambda: None, lambda _: False)
    interruption.hold()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_left_by_an_exception_is_not_mistaken_for_the_programs_own():
    Interruption(lambda: None, lambda _: True).hold()
    later = Interruption(lambda: None, lambda _: True)
    later.hold()
    later.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_only_the_named_signals_are_held_back():
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
