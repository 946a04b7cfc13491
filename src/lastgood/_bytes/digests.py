"""CRC-32 digests of every tensor and of all other bytes, stored in the file itself, to find and name damage.

A file has a table with the place and the digest of each tensor. The record, which ends every file, has the place of the
table, and the digest of all bytes that belong to no tensor in it; for that digest, its own eight digits count as zeros.
A file is checked before anything but its record is parsed, since one changed byte can make HDF5 hang.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .._errors import CorruptCheckpointError
from .._record import RecordText
from .._storage import StoredFile
from .._storage.positioned import LocalFile
from .._threads import cores, spread
from .crc32_join import join

VERSION = 1
AROUND = "its structure or its record (the bytes outside the tensors)"
COLUMNS = 3  # offset, length and digest of a tensor, 8 bytes each
MOST_ROWS = 80_000  # stock Keras writes files with more tensors, and they have no table
_ROW = 8 * COLUMNS
_WORTH_THREADS = 16 * 1024 * 1024
_WORTH_JOINING = 256 * 1024  # the size of a tensor that takes as long to read as two digests to join

Extents = Sequence[tuple[int, int]]
"""Extents in a file: (offset, length in bytes), sorted by offset, none empty."""

Parts = Callable[[int, int], Iterator[memoryview]]
"""Yields the bytes of a file between two offsets, in parts; each is valid until the next is requested."""


class Running:
    """The digests of tensors, computed as a file comes into memory, some of which may then be dropped.

    Attributes:
        digests: The digest of each tensor that has been passed.
    """

    def __init__(self, memory: npt.NDArray[np.uint8], extents: Extents) -> None:
        """Begin before the first tensor.

        Args:
            memory: The file.
            extents: Its tensors.
        """
        self.digests: list[int] = []
        self._memory = memory
        self._extents = extents
        self._begun = self._at = 0  # the digest of the tensor that is not there completely, and how far it goes

    def pass_to(self, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the extents that belong to tensors, from the last offset to this one, once they are digested."""
        while len(self.digests) < len(self._extents):
            offset, length = self._extents[len(self.digests)]
            start, end = max(self._at, offset), min(stop, offset + length)
            if start >= end:
                return
            self._begun = isal_zlib.crc32(self._memory[start:end], self._begun)
            self._at = end
            yield start, end
            if end < offset + length:
                return
            self.digests.append(self._begun)
            self._begun = 0


def make_table(memory: npt.NDArray[np.uint8], extents: Extents, running: Running | None = None) -> bytes:
    """Return the table of the tensors at the given extents of ``memory``; with ``running``, it is not read again."""
    table = np.empty((len(extents), COLUMNS), np.dtype("<u8"))
    if extents:
        table[:, :2] = extents
        table[:, 2] = running.digests if running else _of_extents(_in_memory(memory), extents)
    return table.tobytes()


def of_whole(memory: npt.NDArray[np.uint8], extents: Extents, table: bytes, *, join_all: bool = False) -> int:
    """Return the CRC-32 of all of ``memory``, using the digests in the table of the tensors at the extents.

    Args:
        memory: The file.
        extents: Its tensors.
        table: The table of their digests.
        join_all: Whether not to read tensors at all, since they may have been dropped.
    """
    if not join_all and sum(length for _, length in extents) < len(extents) * _WORTH_JOINING:
        return isal_zlib.crc32(memory)
    crc, at = 0, 0
    for (offset, length), (_, _, own) in zip(extents, struct.iter_unpack("<QQQ", table), strict=True):
        crc = join(isal_zlib.crc32(memory[at:offset], crc), own, length)
        at = offset + length
    return isal_zlib.crc32(memory[at:], crc)


def seal(memory: npt.NDArray[np.uint8], extents: Extents, record_at: int, record: RecordText) -> None:
    """Write the digest of everything outside the extents into the record.

    Args:
        memory: The whole file.
        extents: The tensors that are in the table.
        record_at: The offset of the record.
        record: The record.
    """
    at = record_at + record.digest_at
    digest = _of_rest(_in_memory(memory), len(memory), extents, at)
    memory[at : at + len(digest)] = np.frombuffer(digest.encode(), np.uint8)


def seal_file(path: Path, record_at: int, record: RecordText) -> None:
    """Write the digest of a finished file into its record, before the file is committed.

    Args:
        path: The file, in a stage.
        record_at: The offset of its record.
        record: Its record.

    Raises:
        OSError: The storage failed.
    """
    with LocalFile(path, writable=True) as file:
        at = record_at + record.digest_at
        file.write(_of_rest(file.parts, file.size, (), at).encode(), at)


def find_damage(file: StoredFile, start: int, record_at: int, record: RecordText) -> tuple[int, int] | None:
    """Check every byte of a file against its digests; return the extent of the first damaged tensor, None if none is.

    Args:
        file: The file.
        start: The offset in it of the HDF5 file that has the table.
        record_at: The offset of its record.
        record: Its record.

    Raises:
        CorruptCheckpointError: Something other than a tensor is damaged, so that not even extents can be trusted.
    """
    if not record.digest:
        raise CorruptCheckpointError(file.path, "its record")
    table = _read_table(file, start, record)
    extents = [(start + int(offset), int(length)) for offset, length, _ in table]
    if _of_rest(file.parts, file.size, extents, record_at + record.digest_at) != record.digest:
        raise CorruptCheckpointError(file.path, AROUND)
    wrong = np.flatnonzero(_of_extents(file.parts, extents) != table[:, 2])
    return extents[wrong[0]] if len(wrong) else None


def _read_table(file: StoredFile, start: int, record: RecordText) -> npt.NDArray[np.uint64]:
    """Return the table, and check that its tensors follow one another within the file."""
    offset, length = record.table or (0, 0)
    at = start + offset
    if offset < 0 or not 0 <= length <= MOST_ROWS * _ROW or length % _ROW or at + length > file.size:
        raise CorruptCheckpointError(file.path, "its record")
    table = np.empty((length // _ROW, COLUMNS), np.dtype("<u8"))
    if length:
        file.read_into(table.reshape(-1).view(np.uint8), at)
    spans = [(start + begin, start + begin + size) for begin, size, _ in table.tolist()]
    if any(a >= b for a, b in spans) or any(a[1] > b[0] for a, b in pairwise([*spans, (file.size, file.size)])):
        raise CorruptCheckpointError(file.path, "its table of digests")
    return table


def _of_extents(parts: Parts, extents: Extents) -> npt.NDArray[np.uint32]:
    """Return the digest of each extent."""
    crcs = np.empty(len(extents), np.dtype("<u4"))

    def compute(indices: Sequence[int]) -> None:
        for i in indices:
            offset, length = extents[i]
            crcs[i] = crc32(parts, offset, offset + length)

    by_size = sorted(range(len(extents)), key=lambda i: extents[i][1])
    size = sum(length for _, length in extents)
    spread(compute, by_size, cores() if size > _WORTH_THREADS else 1)
    return crcs


def _of_rest(parts: Parts, length: int, extents: Extents, digest_at: int) -> str:
    """Return the digest of all bytes outside the extents; the digits at ``digest_at`` count as zeros."""
    crc, zeros = 0, RecordText.NO_DIGEST.encode()
    for start, stop in _gaps(length, extents):
        if start <= digest_at < stop:
            crc = crc32(parts, start, digest_at, crc)
            crc = isal_zlib.crc32(zeros, crc)
            start = digest_at + len(zeros)
        crc = crc32(parts, start, stop, crc)
    return f"{crc:08x}"


def crc32(parts: Parts, start: int, stop: int, crc: int = 0) -> int:
    """Return the CRC-32 of the bytes from ``start`` to ``stop``, continuing from ``crc``, that of the bytes before."""
    return reduce(lambda so_far, part: isal_zlib.crc32(part, so_far), parts(start, stop), crc)


def of_files(openers: Sequence[Callable[[], StoredFile]]) -> list[tuple[int, int]]:
    """Return the length and the CRC-32 of each file.

    Args:
        openers: For each file, a function that opens it.

    Raises:
        OSError: The storage failed.
    """
    found = [(0, 0)] * len(openers)

    def compute(indices: Sequence[int]) -> None:
        for i in indices:
            with openers[i]() as file:
                found[i] = (file.size, crc32(file.parts, 0, file.size))

    spread(compute, range(len(openers)), min(cores(), max(1, len(openers))))
    return found


def of_bytes(content: bytes, record_at: int, record: RecordText) -> bytes:
    """Return the bytes of a small file with their digest written into its record."""
    memory = np.frombuffer(bytearray(content), np.uint8)
    seal(memory, (), record_at, record)
    return memory.tobytes()


def _in_memory(memory: npt.NDArray[np.uint8]) -> Parts:
    """Return a function that yields any range of a file in memory as one part."""
    return lambda start, stop: iter((memory[start:stop].data,))


def _gaps(length: int, extents: Extents) -> Iterator[tuple[int, int]]:
    at = 0
    for offset, size in [*extents, (length, 0)]:
        if offset > at:
            yield at, offset
        at = offset + size
