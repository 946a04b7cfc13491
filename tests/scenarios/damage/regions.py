"""The purpose of each byte of a checkpoint, found by reading the checkpoint: regions to damage.

A checkpoint is a mapping from the ends of its files' paths to their contents: the end is empty for a single file,
``/config.json`` for a file of a directory, ``.index`` for one of a group.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import h5py

HDF5 = b"\x89HDF\r\n\x1a\n"
RECORD_END = b"lastgood"
RECORD = "its record|its table of digests"  # the record says where the table is
_STRUCTURES = {b"TREE": "B-tree", b"HEAP": "local heap", b"SNOD": "symbol node", b"GCOL": "global heap"}


class Region(NamedTuple):
    """A part of a file.

    Attributes:
        file: The end of the file's path.
        kind: What it is, such as "object header".
        start: Where it begins in the file.
        stop: Where it ends.
        told: A pattern that the report of damage within it has to match; an empty one matches any report.
    """

    file: str
    kind: str
    start: int
    stop: int
    told: str = ""


class Anatomy:
    """A checkpoint, divided into regions.

    Attributes:
        files: Its files.
        regions: Their regions; together they cover all bytes of all files.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.regions = _regions(files)

    def __repr__(self) -> str:
        """Be short: Hypothesis calls this often."""
        return f"<{len(self.files)} files>"


def _regions(files: Mapping[str, bytes]) -> list[Region]:
    found = [each for file, content in files.items() if content for each in _of_file(file, content)]
    found = [each for each in found if each.stop > each.start]
    for file, content in files.items():
        places = sorted((region.start, region.stop) for region in found if region.file == file)
        assert all(a[1] == b[0] for a, b in pairwise([(0, 0), *places, (len(content), 0)]))
    return found


def _of_file(file: str, content: bytes) -> Iterator[Region]:
    if file.startswith("/"):  # of a directory: any damage in it is reported with its name
        name = file[1:]
        told = "its record" if name == "lastgood.json" else f"the file '{re.escape(name)}'"
        inner = _hdf5(file, content) if content.startswith(HDF5) else [Region(file, _kind(name), 0, len(content))]
        yield from (region._replace(told=told) for region in inner)
    elif file == ".index":
        yield Region(file, "index", 0, len(content), "its index")
    elif file.startswith(".data"):
        ours = content.endswith(RECORD_END)
        yield from _ending(file, content) if ours else [Region(file, "part", 0, len(content), f"{file}'")]
    elif content.startswith(HDF5):
        yield from _hdf5(file, content)
    else:
        yield from _zip(file, content)


def _kind(name: str) -> str:
    known = {"lastgood.json": "record", "lastgood.training": "training state"}
    return known.get(name, "metadata" if name.endswith(".json") else "file")


def _hdf5(file: str, content: bytes) -> Iterator[Region]:
    end = int.from_bytes(content[40:48], "little")
    marks = {0: "superblock"}
    arrays = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        marks[h5py.h5o.get_info(item.id).addr] = "object header"
        if isinstance(item, h5py.Dataset) and item.id.get_offset():
            arrays[name] = (item.id.get_offset(), item.nbytes)

    with h5py.File(io.BytesIO(content)) as opened:
        marks[h5py.h5o.get_info(opened.id).addr] = "object header"
        opened.visititems(visit)
    for signature, kind in _STRUCTURES.items():
        marks |= {found.start(): kind for found in re.finditer(signature, content[:end])}
    own = {"_lastgood/training": ("training state", "training state"), "_lastgood/digests": ("digests", "")}
    at = 0
    for name, (start, length) in sorted(arrays.items(), key=lambda each: each[1]):
        yield from _between(file, marks, at, start)
        kind, told = own.get(name, ("array", f"the array '{re.escape(name)}'"))
        yield Region(file, kind, start, start + length, told)
        at = start + length
    yield from _between(file, marks, at, end)
    if end < len(content):
        yield from _record(file, content, end)


def _between(file: str, marks: Mapping[int, str], start: int, stop: int) -> Iterator[Region]:
    """Yield the regions between two arrays: each ends where the next begins."""
    begins = sorted({start, *(mark for mark in marks if start <= mark < stop)})
    for a, b in pairwise([*begins, stop]):
        yield Region(file, marks.get(a, "structure"), a, b)


def _record(file: str, content: bytes, start: int) -> Iterator[Region]:
    yield Region(file, "record", start, len(content) - 16, RECORD)
    yield Region(file, "record's length", len(content) - 16, len(content) - 8, "its record")
    yield Region(file, "record's mark", len(content) - 8, len(content), "its record")


def _ending(file: str, content: bytes) -> Iterator[Region]:
    """Yield the regions of the part of a TensorFlow checkpoint that lastgood writes."""
    record = len(content) - 16 - int.from_bytes(content[-16:-8], "little")
    training, table = (int.from_bytes(content[at : at + 8], "little") for at in (record - 16, record - 8))
    digests = record - 16 - table
    yield Region(file, "part", 0, digests - training)
    yield Region(file, "training state", digests - training, digests)
    yield Region(file, "digests", digests, record - 16)
    yield Region(file, "lengths", record - 16, record)
    yield from (region._replace(told="") for region in _record(file, content, record))


def _zip(file: str, content: bytes) -> Iterator[Region]:
    comment = len(content) - len(zipfile.ZipFile(io.BytesIO(content)).comment)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members, directory = archive.infolist(), archive.start_dir
    for info in members:
        header = info.header_offset
        lengths = [int.from_bytes(content[header + at : header + at + 2], "little") for at in (26, 28)]
        start = header + 30 + sum(lengths)
        yield Region(file, "local header", header, start)
        yield from _member(file, info.filename, content, start, start + info.file_size)
    yield Region(file, "central directory", directory, comment - 22)
    yield Region(file, "end of central directory", comment - 22, comment)
    yield Region(file, "record", comment, len(content), RECORD)


def _member(file: str, name: str, content: bytes, start: int, stop: int) -> Iterator[Region]:
    whole = Region(file, _kind(name), start, stop, f"the member '{re.escape(name)}'")
    if not content[start:stop].startswith(HDF5):
        yield whole
        return
    inner = list(_hdf5(file, content[start:stop]))
    has_table = any(region.kind == "digests" for region in inner)
    for region in inner:
        told = region.told if has_table and region.kind in ("array", "training state") else whole.told
        told = "" if region.kind == "digests" else told
        yield region._replace(start=start + region.start, stop=start + region.stop, told=told)
