"""The contents of a weights file, and whether it is intact: without Keras, which inspecting does not need."""

from collections.abc import Mapping

from .._errors import CorruptCheckpointError
from .._record import RecordText
from .._storage import Extent, StoredFile
from . import digests
from .hdf5_reader import Contents, read_contents, stated_end

FoundRecord = tuple[int, RecordText] | None


def verify(file: StoredFile, place: Extent, record: FoundRecord, *, legacy: bool = False) -> None:
    """Check every byte of a checkpoint.

    Args:
        file: The checkpoint.
        place: The extent of the HDF5 file in it.
        record: The offset of its record, and the record; None if it has none.
        legacy: Whether it has the legacy layout.

    Raises:
        CorruptCheckpointError: The file is damaged.
    """
    damaged = digests.find_damage(file, place[0], *record) if record else None
    found = contents(file, place, record, legacy=legacy)
    if damaged:
        raise damage_error(file.path, damaged, found, {})


def read_training(file: StoredFile, place: Extent) -> bytes | None:
    """Return the training state of a checkpoint that was verified; None if it has none."""
    found = read_contents(file, *place).training
    if found is None:
        return None
    return file.read(found.offset, found.length)


def contents(file: StoredFile, place: Extent, record: FoundRecord, *, legacy: bool = False) -> Contents:
    """Return the contents of an HDF5 file, which may have the legacy layout.

    A file without a record must end where HDF5 says, so that a file whose record and mark were both overwritten does
    not pass for one of stock Keras. This is checked before HDF5 opens it, since damage can make HDF5 hang.

    Raises:
        CorruptCheckpointError: It is damaged, or has the mark of a record but no record.
    """
    end = None if record else stated_end(file, *place)
    if end is not None and end != place[1]:
        where = "its structure" if end > place[1] else "its record"
        raise CorruptCheckpointError(file.path, where, f"it should have {end} bytes, but has {place[1]}")
    found = read_contents(file, *place, legacy=legacy)
    if found.marked and not record:
        raise CorruptCheckpointError(file.path, "its record")
    return found


def damage_error(
    path: str, damaged: tuple[int, int], contents: Contents, paths: Mapping[str, str]
) -> CorruptCheckpointError:
    """Return the error about a damaged tensor, which names its variable."""
    places = {(array.offset, array.length): name for name, array in contents.arrays.items() if array}
    if contents.training and damaged == (contents.training.offset, contents.training.length):
        return CorruptCheckpointError(path, "its training state")
    name = places.get(damaged, "?")
    region = f"the variable '{paths[name]}' (the array '{name}')" if name in paths else f"the array '{name}'"
    return CorruptCheckpointError(path, region, array=name)
