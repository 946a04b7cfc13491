"""The staging buffer: its pages are there before they are needed, and what is in it is whoever's who took it."""

import sys

import numpy as np
import pytest

from helpers.memory import resident
from lastgood._snapshot import staging

SIZE = 40 * 1024 * 1024 + 12_345


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    monkeypatch.setattr(staging, "_buffer", None)


@pytest.mark.skipif(sys.platform != "linux", reason="it is mincore that is asked")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_pages_that_a_save_will_need_are_there_and_no_others(threads):
    """What is mapped to spare takes no memory: a huge page at most lies across the end."""
    assert staging.prepare(SIZE, threads=threads).wait(60)
    memory = staging.shared(0)
    assert resident(memory, SIZE) >= SIZE
    everything = staging._buffer.memory
    assert len(everything) > SIZE + 16 * 1024 * 1024
    assert resident(everything, len(everything)) <= SIZE + 4 * 1024 * 1024


def test_a_save_that_comes_before_all_pages_do_keeps_what_it_writes():
    for _ in range(5):
        work = staging.prepare(SIZE)
        memory = staging.shared(SIZE)
        memory[:] = 7
        assert work.wait(60)
        assert (memory == 7).all()
        staging._buffer = None


@pytest.mark.skipif(sys.platform != "linux", reason="it is mincore that is asked")
def test_the_pages_that_one_callback_needs_come_though_another_needs_fewer():
    staging.prepare(SIZE)
    assert staging.prepare(1000).wait(60)
    assert resident(staging.shared(0), SIZE) >= SIZE


def test_a_save_that_has_grown_by_a_little_finds_the_pages_of_the_one_before():
    memory = staging.shared(SIZE)
    memory[:] = 5
    larger = staging.grown(memory, SIZE + SIZE // 10)
    assert larger.ctypes.data == memory.ctypes.data
    assert len(larger) >= SIZE + SIZE // 10


def test_a_save_that_has_grown_by_much_takes_what_it_held_along():
    memory = staging.shared(SIZE)
    memory[:] = np.arange(len(memory)) % 251
    larger = staging.grown(memory, 3 * SIZE)
    assert (larger[: len(memory)] == np.arange(len(memory)) % 251).all()
