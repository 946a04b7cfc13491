"""CRC-32 of every tensor, and one of all else, kept in the file itself: so damage is found, and has a name.

A file that was laid out here has an array of the tensors' digests, in the order of their offsets. The record, in every
file, has the digest of all bytes that belong to no tensor in that array, its own eight digits taken as zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .._storage.positioned import PositionedFile
from .._threads import cores, spread

Extents = Sequence[tuple[int, int]]
"""Places in a file: (offset, length in bytes), in the order of their offsets, none empty."""

Parts = Callable[[int, int], Iterator[memoryview]]
"""Gives the bytes of a file from an offset to another, in parts; each is valid until the next is asked for."""

_KEY = b'"crc32": "'
_DIGITS = 8


def of_extents(parts: Parts, extents: Extents) -> npt.NDArray[np.uint32]:
    """Return the digest of each extent."""
    crcs = np.empty(len(extents), np.dtype("<u4"))

    def compute(indices: Sequence[int]) -> None:
        for i in indices:
            offset, length = extents[i]
            crcs[i] = _crc(parts, offset, offset + length)

    by_size = sorted(range(len(extents)), key=lambda i: extents[i][1])
    spread(compute, by_size, cores())
    return crcs


def of_rest(parts: Parts, length: int, extents: Extents, digits_at: int) -> str:
    """Return the digest of all bytes outside the extents, the digits at ``digits_at`` taken as zeros."""
    crc = 0
    for start, stop in _gaps(length, extents):
        if start <= digits_at < stop:
            crc = _crc(parts, start, digits_at, crc)
            crc = isal_zlib.crc32(b"0" * _DIGITS, crc)
            start = digits_at + _DIGITS
        crc = _crc(parts, start, stop, crc)
    return f"{crc:08x}"


def find_digits(parts: Parts, length: int, extents: Extents, digest: str) -> int | None:
    """Return where, outside the extents, the record's ``digest`` stands; None if nowhere."""
    wanted = _KEY + digest.encode()
    for start, stop in _gaps(length, extents):
        before = b""
        for part in parts(start, stop):
            text = before + bytes(part)
            found = text.find(wanted)
            if found >= 0:
                return start - len(before) + found + len(_KEY)
            start, before = start + len(part), text[1 - len(wanted) :]
    return None


def seal(memory: npt.NDArray[np.uint8], extents: Extents, record: tuple[int, int]) -> tuple[int, int]:
    """Put the digest of all but the extents into the record.

    Args:
        memory: The whole file.
        extents: The tensors that have digests of their own.
        record: Place of the record's text, which has zeros where the digest goes.

    Returns:
        Place of the digits: (offset, length).
    """
    offset, length = record
    at = offset + memory[offset : offset + length].tobytes().index(_KEY) + len(_KEY)
    digits = of_rest(in_memory(memory), len(memory), extents, at).encode()
    memory[at : at + _DIGITS] = np.frombuffer(digits, np.uint8)
    return at, _DIGITS


def seal_file(path: Path) -> None:
    """Put the digest of a finished file, whose tensors have none of their own, into its record.

    Raises:
        OSError: The storage refused.
    """
    with PositionedFile(path, writable=True) as file:
        at = find_digits(file.parts, file.size, [], "0" * _DIGITS)
        if at is None:
            raise OSError(f"the record is missing from {path}")
        file.write(of_rest(file.parts, file.size, [], at).encode(), at)


def in_memory(memory: npt.NDArray[np.uint8]) -> Parts:
    """Return the parts of a file that lies in memory: each is all that was asked for."""
    return lambda start, stop: iter((memory[start:stop].data,))


def _crc(parts: Parts, start: int, stop: int, crc: int = 0) -> int:
    return reduce(lambda so_far, part: isal_zlib.crc32(part, so_far), parts(start, stop), crc)


def _gaps(length: int, extents: Extents) -> Iterator[tuple[int, int]]:
    at = 0
    for offset, size in [*extents, (length, 0)]:
        if offset > at:
            yield at, offset
        at = offset + size
