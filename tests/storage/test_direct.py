"""Writing bytes from memory to a file, and reading them back by position."""

import errno
import os

import numpy as np
import pytest

from helpers.systems import on_linux
from lastgood._snapshot import staging
from lastgood._storage import Extent, Image, Span, direct
from lastgood._storage.positioned import LocalFile

SMALL, LARGE = 10_001, 2 * 16 * 1024 * 1024 + 12_345  # in one write; in several, and sealed in another thread


def _memory(size):
    memory = staging.shared(size)
    memory[:] = np.random.default_rng(size).integers(0, 256, len(memory), np.uint8)
    return memory


def _seal(memory, size):
    """Seal at both ends, as the formats do."""

    def seal():
        memory[:8] = memory[size - 8 : size] = 7
        return size, [Extent(0, 8), Extent(size - 8, 8)]

    return seal


def _image(memory, size, seal):
    return Image(memory, Span(0, size), seal, lambda stop: None)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_contains_the_sealed_bytes_from_memory(tmp_path, size):
    memory, reported = _memory(size), []
    direct.write_file(tmp_path / "f", _image(memory, size, _seal(memory, size)), reported.append)
    assert (tmp_path / "f").read_bytes() == memory[:size].tobytes()
    assert memory[0] == memory[size - 1] == 7
    assert reported[-1] >= size


@on_linux
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_writes_are_buffered_where_a_file_cannot_be_opened_for_direct_writes(tmp_path, monkeypatch, size):
    opened, refused = os.open, []

    def refuse_direct(path, flags, *mode):
        if flags & os.O_DIRECT:
            refused.append(path)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse_direct)
    memory = _memory(size)
    direct.write_file(tmp_path / "f", _image(memory, size, _seal(memory, size)), lambda _: None)
    assert refused == [tmp_path / "f"]
    assert (tmp_path / "f").read_bytes() == memory[:size].tobytes()


@on_linux
def test_writes_are_buffered_where_a_file_opens_for_direct_writes_but_refuses_them(tmp_path, monkeypatch):
    pwrite, refused = os.pwrite, []

    def refuse_direct(descriptor, content, offset):
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return pwrite(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", refuse_direct)
    memory = _memory(LARGE)
    direct.write_file(tmp_path / "f", _image(memory, LARGE, _seal(memory, LARGE)), lambda _: None)
    assert refused == [0]
    assert (tmp_path / "f").read_bytes() == memory[:LARGE].tobytes()


def test_a_full_disk_raises_an_error_after_sealing_has_finished(small_disk):
    memory, ended = _memory(LARGE), []

    def seal():
        ended.append(True)
        return LARGE, []

    with pytest.raises(OSError, match="No space left"):
        direct.write_file(small_disk / "f", _image(memory, LARGE, seal), lambda _: None)
    assert ended == [True]


def test_an_error_while_sealing_is_raised(tmp_path):
    def seal():
        raise ZeroDivisionError

    memory = _memory(LARGE)
    for size in (SMALL, LARGE):
        with pytest.raises(ZeroDivisionError):
            direct.write_file(tmp_path / str(size), _image(memory, size, seal), lambda _: None)


def test_a_file_is_read_from_any_position(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(content)
    with LocalFile(tmp_path / "f") as file:
        assert file.size == len(content)
        buffer = bytearray(100)
        file.read_into(buffer, 1000)
        assert bytes(buffer) == content[1000:1100]
        assert b"".join(map(bytes, file.parts(5, len(content)))) == content[5:]
        with file.window(10, 300) as window:
            window.seek(290)
            assert window.read() == content[300:310]
            assert window.read() == b""
            assert window.seek(-300, 2) == 0
            assert window.read(4) == content[10:14]


def test_reading_past_the_end_of_a_file_is_an_error(tmp_path):
    (tmp_path / "f").write_bytes(b"1234")
    with LocalFile(tmp_path / "f") as file, pytest.raises(OSError, match="the file ends too early"):
        file.read_into(bytearray(3), 2)


def test_a_write_in_place_changes_only_its_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"12345678")
    with LocalFile(tmp_path / "f", writable=True) as file:
        file.write(b"ab", 3)
    assert (tmp_path / "f").read_bytes() == b"123ab678"
