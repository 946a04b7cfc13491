"""A writer that begins while the state is still being copied, and what it does if the copy does not finish."""

import threading
import time

import numpy as np
import pytest

from lastgood._snapshot import staging
from lastgood._snapshot.state_copy import NotCopiedError, StateCopy
from lastgood._storage import Extent, Image, Span, direct

SIZE = 3 * 16 * 1024 * 1024 + 12_345  # written in several parts, and sealed in another thread


def _copy_slowly(source, memory, *, until=SIZE):
    """Return a copy that reports its progress at offsets that are not the end of a block or chunk."""

    def copy(reached, most):
        del most
        for at in range(0, until, 5_000_011):
            stop = min(at + 5_000_011, until)
            memory[at:stop] = source[at:stop]
            reached(stop)
            time.sleep(0.02)
        if until < SIZE:
            raise KeyboardInterrupt

    return copy


def _sum_up(memory):
    """Seal as digests do: from the complete content."""

    def seal():
        memory[:8] = np.frombuffer(int(memory[8:SIZE].sum(dtype=np.uint64)).to_bytes(8, "little"), np.uint8)
        return SIZE, [Extent(0, 8)]

    return seal


def _source():
    return np.random.default_rng(1).integers(0, 256, SIZE, np.uint8)


def _image(memory, seal, state_copy):
    return Image(memory, Span(0, SIZE), seal, state_copy.wait_for)


def test_a_file_written_during_the_copy_contains_the_copied_state(tmp_path):
    source, memory, written = _source(), staging.shared(SIZE), []
    memory[:] = 0
    state_copy = StateCopy(_copy_slowly(source, memory), SIZE)

    def report(count):
        written.append((count, state_copy.ended))

    arguments = (tmp_path / "f", _image(memory, _sum_up(memory), state_copy), report)
    writer = threading.Thread(target=direct.write_file, args=arguments)
    writer.start()
    state_copy.run()
    writer.join()
    content = np.fromfile(tmp_path / "f", np.uint8)
    assert (content[8:] == source[8:]).all()
    assert int.from_bytes(content[:8].tobytes(), "little") == source[8:].sum(dtype=np.uint64)
    assert not written[0][1]  # the first bytes were written before the last were copied


def test_the_writer_does_not_wait_for_a_copy_that_was_aborted(tmp_path):
    memory, told = staging.shared(SIZE), []
    state_copy = StateCopy(_copy_slowly(_source(), memory, until=SIZE // 2), SIZE)

    def write():
        try:
            direct.write_file(tmp_path / "f", _image(memory, _sum_up(memory), state_copy), lambda _: None)
        except NotCopiedError as error:
            told.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(KeyboardInterrupt):
        state_copy.run()
    writer.join(30)
    assert len(told) == 1
    assert state_copy.give_up()
    state_copy.run()  # it does not begin again
    assert not state_copy.ended


def test_a_writer_without_its_own_thread_makes_the_copy_first(tmp_path):
    source, memory = _source(), staging.shared(SIZE)
    state_copy = StateCopy(_copy_slowly(source, memory), SIZE)
    direct.write_file(tmp_path / "f", _image(memory, lambda: (SIZE, []), state_copy), lambda _: None)
    assert (np.fromfile(tmp_path / "f", np.uint8) == source).all()
    ended = state_copy.ended
    state_copy.run()
    assert state_copy.ended == ended > 0
    assert not state_copy.give_up()
