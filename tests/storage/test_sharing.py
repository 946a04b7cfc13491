"""Blocks that a file takes from the one before it, on a disk that pretends to share: it copies what it is asked for."""

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
LARGE = 2 * 16 * 1024 * 1024 + SMALL  # in several, sealed beside the first
SEALED = 8


@pytest.fixture
def shares(monkeypatch):
    """Pretend that the file system shares; give what it is asked for: (offset, length)."""
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
    """Save bytes as the formats do, with an end that is sealed later; return how many of them were shared."""
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

    return save


def _memory(content):
    """Return the content in whole blocks that begin with a page, as staging memory does."""
    length = -(-len(content) // BLOCK) * BLOCK
    memory = np.zeros(length + BLOCK, np.uint8)
    start = -memory.ctypes.data % BLOCK
    memory[start : start + len(content)] = content
    return memory[start : start + length]


def _content(size):
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_the_file_before_has_in_the_same_place_is_not_written(shares, save, size):
    content = _content(size)
    assert save("1", content) == 0
    assert save("2", content) == size // BLOCK * BLOCK
    content[20 * BLOCK + 5] ^= 1
    assert save("3", content) == (size // BLOCK - 1) * BLOCK
    assert (20 * BLOCK, BLOCK) not in shares


def test_blocks_by_themselves_are_written_with_those_around_them(shares, save):
    content = _content(SMALL)
    save("1", content)
    content[10 * BLOCK] ^= 1
    assert save("2", content) == 29 * BLOCK  # of 10 before it and 29 after it
    assert [offset for offset, _ in shares] == [11 * BLOCK]


def test_equal_sums_are_no_proof(shares, save):
    content = _content(SMALL)
    save("1", content)
    words = content[: 40 * BLOCK].view(np.uint64)
    words[[0, 1]] = words[[1, 0]]
    assert save("2", content) == 0
    assert shares == [(0, 40 * BLOCK)]


@pytest.mark.parametrize("happens", ["it is deleted", "it is cut short", "it is another", "a byte has changed"])
def test_whatever_becomes_of_the_file_before_the_new_one_holds_what_it_should(shares, save, tmp_path, happens):
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
def test_what_cannot_be_shared_is_written(shares, save, monkeypatch, number):
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


def test_a_file_that_is_replaced_shares_with_the_one_that_replaces_it(shares, save):
    content = _content(SMALL)
    save("1", content)
    assert save("1", content) == 40 * BLOCK


def test_files_of_several_layouts_each_share_with_their_own(shares, save):
    contents = {"small": _content(SMALL), "large": _content(LARGE)}
    for name, content in contents.items():
        save(f"{name} 1", content)
    found = [save(f"{name} 2", content) // BLOCK for name, content in contents.items()]
    assert found == [SMALL // BLOCK, LARGE // BLOCK]


def test_no_more_files_are_remembered_than_a_few(shares, save):
    contents = [_content(SMALL + number) for number in range(9)]
    for content in contents:
        save("1", content)
    assert save("2", contents[0]) == 0


def test_where_the_file_system_shares_nothing_nothing_is_remembered(save, monkeypatch):
    def refuse(descriptor, source, offset, length):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(SYSTEM, "share", refuse)
    content = _content(SMALL)
    assert [save("1", content), save("2", content)] == [0, 0]


def test_another_process_has_written_nothing_yet(shares, save):
    written = Written()
    written._files[1, Span(0, 1)] = None
    assert vars(pickle.loads(pickle.dumps(written))) == {"_files": {}}
