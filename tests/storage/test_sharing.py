"""Blocks that a file shares with the previous one, on a simulated disk that copies what it is asked to share."""

import errno
import mmap
import os
import pickle

import numpy as np
import pytest

from helpers.systems import on_linux
from lastgood._storage import Extent, Image, Span
from lastgood._storage.local import LocalStorage
from lastgood._storage.sharing import Written
from lastgood._storage.systems import SYSTEM

pytestmark = on_linux

BLOCK = 4096
SMALL = 40 * BLOCK + 123  # in one write
LARGE = 2 * 16 * 1024 * 1024 + SMALL  # in several, and sealed in another thread
SEALED = 8


@pytest.fixture
def shares(monkeypatch):
    """Simulate a file system that shares blocks; return the list of requests: (offset, length)."""
    asked = []

    def share(descriptor, source, offset, length):
        if length:
            asked.append((offset, length))
            with mmap.mmap(-1, length) as aligned:
                aligned[:] = os.pread(source, length, offset)
                os.pwrite(descriptor, aligned, offset)

    monkeypatch.setattr(SYSTEM, "share", share)
    return asked


@pytest.fixture
def save(tmp_path):
    """Save bytes as the formats do, with an end that is sealed later; return how many were shared."""
    storage = LocalStorage()

    def save(name, content):
        size = len(content)
        memory = _memory(content)

        def seal():
            memory[size - SEALED : size] = 7
            return size, [Extent(size - SEALED, SEALED)]

        with storage.stage(tmp_path / name, "") as stage:
            stage.write_image("", Image(memory, Span(0, size), seal, lambda stop: None), lambda written: None)
        assert (tmp_path / name).read_bytes() == memory[:size].tobytes()
        return stage.shared

    save.written = storage._written
    return save


def _memory(content):
    """Return the content in whole, page-aligned blocks, as in staging memory."""
    length = -(-len(content) // BLOCK) * BLOCK
    memory = np.zeros(length + BLOCK, np.uint8)
    start = -memory.ctypes.data % BLOCK
    memory[start : start + len(content)] = content
    return memory[start : start + length]


def _content(size):
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_blocks_that_the_previous_file_has_at_the_same_offset_are_not_written(shares, save, size):
    content = _content(size)
    assert save("1", content) == 0
    assert save("2", content) == size // BLOCK * BLOCK
    content[20 * BLOCK + 5] ^= 1
    assert save("3", content) == (size // BLOCK - 1) * BLOCK
    assert (20 * BLOCK, BLOCK) not in shares


def test_too_few_adjacent_equal_blocks_are_written_rather_than_shared(shares, save):
    content = _content(SMALL)
    save("1", content)
    content[10 * BLOCK] ^= 1
    assert save("2", content) == 29 * BLOCK  # the 29 after it, but not the 10 before it
    assert [offset for offset, _ in shares] == [11 * BLOCK]


def test_different_blocks_with_equal_sums_are_not_shared(shares, save):
    content = _content(SMALL)
    save("1", content)
    words = content[: 40 * BLOCK].view(np.uint64)
    words[[0, 1]] = words[[1, 0]]
    assert save("2", content) == 0
    assert shares == [(0, 40 * BLOCK)]


@pytest.mark.parametrize("happens", ["it is deleted", "it is cut short", "it is another", "a byte has changed"])
def test_a_new_file_is_correct_whatever_happens_to_the_previous_one(shares, save, tmp_path, happens):
    content, one = _content(SMALL), tmp_path / "1"
    save("1", content)
    if happens == "it is deleted":
        one.unlink()
    elif happens == "it is cut short":
        os.truncate(one, 20 * BLOCK)
    elif happens == "it is another":
        one.write_bytes(bytes(SMALL))
    else:
        one.write_bytes(b"?" + one.read_bytes()[1:])
    assert save("2", content) == (20 * BLOCK if happens == "it is cut short" else 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EINVAL, errno.EXDEV, errno.ETXTBSY, errno.EIO, errno.EDQUOT])
def test_blocks_that_cannot_be_shared_are_written(shares, save, monkeypatch, number):
    def refuse(descriptor, source, offset, length):
        if length:
            raise OSError(number, os.strerror(number))

    content = _content(SMALL)
    save("1", content)
    monkeypatch.setattr(SYSTEM, "share", refuse)
    assert save("2", content) == 0


def test_blocks_that_cannot_be_read_back_are_written(shares, save, monkeypatch):
    def fail(descriptor, buffer, offset):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    content = _content(SMALL)
    save("1", content)
    with monkeypatch.context() as patch:
        patch.setattr(SYSTEM, "read_into", fail)
        assert save("2", content) == 0


def test_a_file_shares_blocks_with_the_one_that_it_replaces(shares, save):
    content = _content(SMALL)
    save("1", content)
    assert save("1", content) == 40 * BLOCK


def test_files_share_blocks_with_the_previous_one_of_the_same_layout(shares, save):
    contents = {"small": _content(SMALL), "large": _content(LARGE)}
    for name, content in contents.items():
        save(f"{name} 1", content)
    found = [save(f"{name} 2", content) // BLOCK for name, content in contents.items()]
    assert found == [SMALL // BLOCK, LARGE // BLOCK]


def test_only_a_few_recent_files_are_remembered(shares, save):
    contents = [_content(SMALL + number) for number in range(9)]
    for content in contents:
        save("1", content)
    assert save("2", contents[0]) == 0


def test_nothing_is_shared_or_remembered_where_the_file_system_does_not_support_it(save, monkeypatch):
    asked = []

    def refuse(descriptor, source, offset, length):
        asked.append(length)
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(SYSTEM, "share", refuse)
    content = _content(SMALL)
    assert [save("1", content), save("2", content)] == [0, 0]
    assert asked == [0, 0]  # whether it supports it
    assert save.written._files == {}


def test_remembered_files_are_not_pickled(shares, save):
    written = Written()
    written._files[1, Span(0, 1)] = None
    assert vars(pickle.loads(pickle.dumps(written))) == {"_files": {}}
