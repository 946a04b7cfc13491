"""An HDF5 file that stock Keras lays out in the staging buffer, so that HDF5 never accesses the disk."""

import io
from collections.abc import Callable

import h5py
import numpy as np

from .._bytes import digests, trailing_record
from .._record import Record
from .._snapshot.staged_file import StagedFile
from .._storage import Extent, Image, Report, Span, Stage, direct
from .base import Snapshot

MAGIC = b"\x89HDF\r\n\x1a\n"
_ROOM = 2 * 1024 * 1024  # for everything except tensors


def about(state: int) -> int:
    """Return the approximate length of a file that holds ``state`` bytes of tensors."""
    return state * 21 // 20 + _ROOM


def snapshot(
    write: Callable[[h5py.File], None], size: int, record: Record, training: bytes, *, note: str = ""
) -> Snapshot:
    """Let stock Keras write to the staging buffer, and return the snapshot.

    Args:
        write: Calls stock Keras to fill a file.
        size: The file's approximate length.
        record: The record to add.
        training: The training state to add.
        note: What the user should know about this way of saving.
    """
    staged = StagedFile(size)
    with h5py.File(staged, "w") as file:
        write(file)
        trailing_record.add_training(file, training)
        extents, table = trailing_record.add_empty_table(file)
    text = record.to_text(table)
    at = staged.seek(0, io.SEEK_END)
    staged.write(trailing_record.encode(text))
    memory, length = staged.memory[: direct.whole_blocks(staged.length)], staged.length

    def seal() -> tuple[int, list[Extent]]:
        offset, taken = table
        memory[offset : offset + taken] = np.frombuffer(digests.make_table(memory, extents), np.uint8)
        digests.seal(memory[:length], extents, at, text)
        return length, [Extent(*table), Extent(at, length - at)]

    def write_image(stage: Stage, report: Report) -> None:
        stage.write_image("", Image(memory, Span(0, at), seal, _is_there), report)

    return Snapshot(write_image, size=length, note=note)


def complete(stage: Stage, record: Record, training: bytes) -> None:
    """Add the training state, the digests and the record to a file that was written without them."""
    with h5py.File(stage.path, "r+") as file:
        trailing_record.add_training(file, training)
        extents, table = trailing_record.add_empty_table(file)
    text = record.to_text(table)
    with stage.open("") as written:
        at = written.size
        memory = np.frombuffer(bytearray(written.read(0, at) + trailing_record.encode(text)), np.uint8)
    offset, taken = table
    memory[offset : offset + taken] = np.frombuffer(digests.make_table(memory, extents), np.uint8)
    digests.seal(memory, extents, at, text)
    stage.write("", memory.tobytes())


def _is_there(stop: int) -> None:
    """Return at once: stock Keras has already written everything."""
    del stop
