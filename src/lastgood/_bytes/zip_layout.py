"""A ``.keras`` archive around weights that are already in memory: members, headers and directory, written in place."""

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from .._errors import CorruptCheckpointError
from .._storage import Extent, Location, StoredFile
from .._storage.base import BLOCK

WEIGHTS = "model.weights.h5"
# Bytes to reserve for each header, before the weights and after them.
_HEADER = 1024
_PADDING_FIELD = 0xD935  # the extra field that other tools also use for alignment
_MAX_EXTRA = 0xFFFF
_END = b"PK\5\6"
_END_LENGTH = 22  # of the record that ends an archive; its last two bytes are the length of the comment after it
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, fields that the directory repeats, two lengths
_LONGEST_LIST = 1 << 20  # bytes: more than ten thousand members


def start_of_weights(before: Mapping[str, bytes]) -> int:
    """Return the offset of the weights: a multiple of a block, after the members ``before`` and all headers."""
    length = sum(len(content) + len(name.encode()) + _HEADER for name, content in before.items()) + 2 * _HEADER
    return -(-length // BLOCK) * BLOCK


def length_with(start: int, size: int, after: Mapping[str, bytes], comment: str) -> int:
    """Return an upper bound for the length of the archive."""
    tail = sum(len(content) + 2 * len(name.encode()) + 2 * _HEADER for name, content in after.items())
    return start + size + tail + len(comment.encode()) + 8 * _HEADER + BLOCK


def finish(
    memory: npt.NDArray[np.uint8],
    start: int,
    size: int,
    crc: int,
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    comment: str,
) -> int:
    """Write everything in the archive except the weights, which are already in ``memory``; return its length.

    Args:
        memory: The archive's bytes.
        start: Where the weights begin.
        size: Their length.
        crc: Their CRC-32.
        before: Members that come before them, by name.
        after: Members that come after them, by name.
        comment: The archive's comment.
    """
    sink = _Sink(memory)
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in before.items():
            archive.writestr(name, content)
        _add_weights(archive, sink, start, size, crc)
        for name, content in after.items():
            archive.writestr(name, content)
        archive.comment = comment.encode()
    return sink.tell()


def _add_weights(archive: zipfile.ZipFile, sink: "_Sink", start: int, size: int, crc: int) -> None:
    """Add a member whose bytes are in place, after a header that is padded to end where they begin."""
    info = zipfile.ZipInfo(WEIGHTS)
    info.compress_size = info.file_size = size
    info.CRC = crc
    info.header_offset = sink.tell()
    zip64 = size > zipfile.ZIP64_LIMIT
    padding = start - sink.tell() - len(info.FileHeader(zip64))
    while padding:  # fields of at most 64 KiB, including a head of 4 bytes
        field = padding if padding <= _MAX_EXTRA - 64 else padding // 2
        info.extra += _PADDING_FIELD.to_bytes(2, "little") + (field - 4).to_bytes(2, "little") + bytes(field - 4)
        padding -= field
    sink.write(info.FileHeader(zip64))
    info.extra = b""  # the directory needs no padding
    sink.seek(size, io.SEEK_CUR)
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info
    archive.start_dir = sink.tell()


def find_comment(file: StoredFile) -> tuple[int, bytes]:
    """Return the offset of an archive's comment, which ends the file, and the comment.

    Raises:
        CorruptCheckpointError: The file does not end as an archive does.
    """
    tail = bytearray(min(file.size, _END_LENGTH + zipfile.ZIP_MAX_COMMENT))
    file.read_into(tail, file.size - len(tail))
    behind = tail.rfind(_END) + _END_LENGTH
    if behind < _END_LENGTH or behind + int.from_bytes(tail[behind - 2 : behind], "little") != len(tail):
        raise CorruptCheckpointError(file.path, "its structure", "it does not end as a zip archive does")
    return file.size - len(tail) + behind, bytes(tail[behind:])


def damaged_member(at: Location) -> str | None:
    """Return the name of a member whose bytes do not match the zip's own digest; None if there is none."""
    try:
        with opened(at) as (archive, _):
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
            return archive.testzip() if stored else None  # compressed members can expand to any length
    except Exception:  # noqa: BLE001 - zipfile raises many kinds of exceptions for a damaged archive
        return None


def place_of_weights(at: Location) -> tuple[Extent, bytes]:
    """Return the extent of the weights in an archive, and the archive's comment.

    Raises:
        CorruptCheckpointError: It is not an archive of a model, or it is damaged.
        OSError: The storage failed.
    """
    with opened(at) as (archive, file):
        _, comment = find_comment(file)
        return place_of(archive, file, WEIGHTS), comment


def place_of(archive: zipfile.ZipFile, file: StoredFile, name: str) -> Extent:
    """Return the extent of a member in an archive from :func:`opened`.

    Raises:
        CorruptCheckpointError: It is outside the file, or compressed.
    """
    info = archive.getinfo(name)
    header = bytearray(_LOCAL_HEADER.size)
    if not 0 <= info.header_offset <= file.size - len(header):
        raise CorruptCheckpointError(file.path, "its structure", f"'{name}' begins outside the file")
    file.read_into(header, info.header_offset)
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + len(header) + name_length + extra_length
    if info.compress_type != zipfile.ZIP_STORED or start + info.file_size > file.size:
        raise CorruptCheckpointError(file.path, "its structure", f"'{name}' is compressed, or ends outside the file")
    return Extent(start, info.file_size)


@contextmanager
def opened_weights(at: Location) -> Iterator[tuple[StoredFile, Extent]]:
    """Open an archive; yield its file, and the extent of the weights in it.

    Raises:
        CorruptCheckpointError: It is not an archive of a model, or it is damaged.
        OSError: The storage failed.
    """
    place, _ = place_of_weights(at)
    with at.open() as file:
        yield file, place


@contextmanager
def opened(at: Location) -> Iterator[tuple[zipfile.ZipFile, StoredFile]]:
    """Open an archive; yield it, and its file.

    The members together are no longer than the file, and their names do not lead out of the archive, so that unpacking
    it yields no more than the file holds.

    Raises:
        CorruptCheckpointError: It is not an archive, or it is damaged.
        OSError: The storage failed.
    """
    with at.open() as file, _Source(file) as source:
        try:
            with zipfile.ZipFile(source) as archive:
                source.most = file.size
                _check_members(file.path, archive, file.size)
                yield archive, file
        except (CorruptCheckpointError, OSError):
            raise
        except Exception as error:  # zipfile raises many kinds of exceptions for damaged bytes
            raise CorruptCheckpointError(at, "its structure", f"zipfile reports: {error}") from error


def _check_members(path: str, archive: zipfile.ZipFile, longest: int) -> None:
    if sum(info.file_size for info in archive.infolist()) > longest:
        raise CorruptCheckpointError(path, "its structure", "its members claim to be longer than the file")
    if any(_leads_away(name) for name in archive.namelist()):
        raise CorruptCheckpointError(path, "its structure", "the name of a member leads out of the archive")


def _leads_away(name: str) -> bool:
    return name.startswith("/") or "\\" in name or ".." in name.split("/")


class _Source(io.BufferedReader):
    """A reader of an archive that refuses a longer list of members than lastgood writes: ``zipfile`` reads it at once.

    Attributes:
        most: The maximum number of bytes for one read.
    """

    def __init__(self, file: StoredFile) -> None:
        super().__init__(file.raw_window(0, file.size))
        self.most = _LONGEST_LIST

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


class _Sink(io.RawIOBase):
    """A file object that writes to an array."""

    def __init__(self, memory: npt.NDArray[np.uint8]) -> None:
        self._memory = memory
        self._at = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset if whence == io.SEEK_SET else self._at + offset
        return self._at

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._memory[self._at : self._at + len(data)] = np.frombuffer(data, np.uint8)
        self._at += len(data)
        return len(data)
