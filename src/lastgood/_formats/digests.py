"""CRC-32 of every tensor, and one of all else, kept in the file itself: so damage is found, and has a name.

A file that was laid out here has an array of the tensors' digests, in the order of their offsets. The record, in every
file, has the digest of all bytes that belong to no tensor in that array, its own eight digits taken as zeros.
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

Extents = Sequence[tuple[int, int]]
"""Places in a file: (offset, length in bytes), in the order of their offsets, none empty."""

_KEY = b'"crc32": "'
_DIGITS = 8


def of_extents(memory: npt.NDArray[np.uint8], extents: Extents) -> npt.NDArray[np.uint32]:
    """Return the digest of each extent."""
    crcs = (isal_zlib.crc32(memory[offset : offset + length]) for offset, length in extents)
    return np.fromiter(crcs, np.dtype("<u4"), len(extents))


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
    digits = f"{of_rest(memory, extents, at):08x}".encode()
    memory[at : at + _DIGITS] = np.frombuffer(digits, np.uint8)
    return at, _DIGITS


def of_rest(memory: npt.NDArray[np.uint8], extents: Extents, digits_at: int) -> int:
    """Return the digest of all bytes outside the extents, the digits at ``digits_at`` taken as zeros."""
    crc = 0
    for start, stop in _gaps(len(memory), extents):
        if start <= digits_at < stop:
            crc = isal_zlib.crc32(memory[start:digits_at], crc)
            crc = isal_zlib.crc32(b"0" * _DIGITS, crc)
            start = digits_at + _DIGITS
        crc = isal_zlib.crc32(memory[start:stop], crc)
    return crc


def find_digits(memory: npt.NDArray[np.uint8], extents: Extents, digest: str) -> int | None:
    """Return where, outside the extents, the record's ``digest`` stands; None if nowhere."""
    wanted = _KEY + digest.encode()
    for start, stop in _gaps(len(memory), extents):
        at = memory[start:stop].tobytes().find(wanted)
        if at >= 0:
            return start + at + len(_KEY)
    return None


def _gaps(length: int, extents: Extents) -> Iterator[tuple[int, int]]:
    at = 0
    for offset, size in [*extents, (length, 0)]:
        if offset > at:
            yield at, offset
        at = offset + size


def seal_file(path: Path) -> None:
    """Put the digest of a finished file, whose tensors have none of their own, into its record.

    Raises:
        OSError: The storage refused.
    """
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        at = mapped.rfind(_KEY) + len(_KEY)
        memory = np.frombuffer(mapped, np.uint8)
        digits = f"{of_rest(memory, [], at):08x}".encode()
        del memory  # or the mapping could not be closed
        mapped[at : at + _DIGITS] = digits
