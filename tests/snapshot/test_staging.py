"""The staging buffer: its pages are allocated before they are needed, and its content belongs to whoever took it."""

import sys

import numpy as np
import pytest

from helpers.memory import resident
from lastgood._snapshot import staging

SIZE = 40 * 1024 * 1024 + 12_345


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    monkeypatch.setattr(staging, "_buffer", None)


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages are counted with mincore")
@pytest.mark.parametrize("threads", [1, 3])
def test_only_the_pages_that_a_save_will_need_are_allocated_in_advance(threads):
    """Spare mapped memory takes no pages, except for at most one huge page across the end."""
    assert staging.prepare(SIZE, threads=threads).wait(60)
    memory = staging.shared(0)
    assert resident(memory, SIZE) >= SIZE
    everything = staging._buffer.memory
    assert len(everything) > SIZE + 16 * 1024 * 1024
    assert resident(everything, len(everything)) <= SIZE + 4 * 1024 * 1024


def test_a_save_that_starts_before_all_pages_are_allocated_keeps_what_it_writes():
    for _ in range(5):
        work = staging.prepare(SIZE)
        memory = staging.shared(SIZE)
        memory[:] = 7
        assert work.wait(60)
        assert (memory == 7).all()
        staging._buffer = None


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages are counted with mincore")
def test_a_smaller_request_does_not_cancel_the_pages_of_a_larger_one():
    staging.prepare(SIZE)
    assert staging.prepare(1000).wait(60)
    assert resident(staging.shared(0), SIZE) >= SIZE


def test_a_slightly_larger_save_reuses_the_pages_of_the_previous_one():
    memory = staging.shared(SIZE)
    memory[:] = 5
    larger = staging.grown(memory, SIZE + SIZE // 10)
    assert larger.ctypes.data == memory.ctypes.data
    assert len(larger) >= SIZE + SIZE // 10


def test_a_much_larger_save_keeps_what_the_buffer_held():
    memory = staging.shared(SIZE)
    memory[:] = np.arange(len(memory)) % 251
    larger = staging.grown(memory, 3 * SIZE)
    assert (larger[: len(memory)] == np.arange(len(memory)) % 251).all()
