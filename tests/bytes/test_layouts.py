"""Where each byte goes: HDF5 and zip read files that were laid out in memory, and damage in them is found."""

import os
import random
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood import CorruptCheckpointError
from lastgood._bytes import digests, hdf5_layout, hdf5_reader, trailing_record, zip_layout
from lastgood._bytes.crc32_join import join
from lastgood._bytes.hdf5_layout import Dataset
from lastgood._record import Record
from lastgood._storage import locate
from lastgood._storage.positioned import LocalFile

GROUPS = {"vars": {}, "layers/dense/vars": {"name": "dense"}, "optimizer/vars": {"name": "adam"}}
DATASETS = [
    Dataset("layers/dense/vars", "0", (3, 5), "float32"),
    Dataset("layers/dense/vars", "1", (5,), "bfloat16"),
    Dataset("optimizer/vars", "0", (), "int64"),
    Dataset("optimizer/vars", "1", (0, 4), "float64"),
    Dataset("optimizer/vars", "2", (7,), "bool"),
]


def _record(table=None):
    record = Record(step=1, epoch=1, batch=None, metrics={"loss": 0.5}, format="weights.h5", created=0.0)
    return record.to_text(table)


def _file_in_memory():
    """Return the bytes of a complete file, and its layout."""
    layout = hdf5_layout.plan(GROUPS, DATASETS, training=100)
    record = _record(layout.digests)
    end = trailing_record.encode(record)
    memory = np.zeros(layout.size + len(end), np.uint8)
    for offset, length in layout.tensors:
        memory[offset : offset + length] = np.arange(length) % 2
    layout.put_metadata(memory)
    layout.put_digests(memory)
    memory[layout.size :] = np.frombuffer(end, np.uint8)
    digests.seal(memory, layout.tensors, layout.size, record)
    return memory, layout


def _check(path):
    """Check a file as loading does; return its contents."""
    with LocalFile(path) as file:
        record = trailing_record.find(file)
        damaged = digests.find_damage(file, 0, *record) if record else None
        contents = hdf5_reader.read_contents(file, 0, file.size)
    if damaged or (contents.marked and not record):
        raise CorruptCheckpointError(path, "a tensor, or a record that is missing")
    return contents


def test_hdf5_reads_a_file_laid_out_in_memory(tmp_path):
    memory, layout = _file_in_memory()
    (tmp_path / "f.h5").write_bytes(memory.tobytes())
    with h5py.File(tmp_path / "f.h5") as file:
        for name, attributes in GROUPS.items():
            assert dict(file[name].attrs) == attributes
        for dataset, (_, length) in zip(DATASETS, layout.extents, strict=True):
            item = file[dataset.group][dataset.key]
            assert item.shape == dataset.shape
            assert item[()].tobytes() == (np.arange(length) % 2).astype(np.uint8).tobytes()
        assert file["layers/dense/vars/1"].attrs["dtype"] == "bfloat16"
        assert file["layers/dense/vars/1"].dtype == np.dtype("V2")
        assert file["_lastgood/digests"][:, :2].tolist() == [list(extent) for extent in layout.tensors]


def test_the_reader_finds_all_arrays_of_a_file_laid_out_in_memory(tmp_path):
    memory, layout = _file_in_memory()
    (tmp_path / "f.h5").write_bytes(memory.tobytes())
    contents = _check(tmp_path / "f.h5")
    assert set(contents.arrays) == {f"{d.group}/{d.key}" for d in DATASETS}
    for dataset, (offset, length) in zip(DATASETS, layout.extents, strict=True):
        stored = contents.arrays[f"{dataset.group}/{dataset.key}"]
        assert (stored.dtype, stored.shape, stored.length) == (dataset.dtype, dataset.shape, length)
        assert not length or stored.offset == offset


def test_digests_cover_every_byte_of_a_file(tmp_path):
    """Change each byte in turn: no changed file passes the check.

    HDF5 is given none of these files, because it never returns from some of them.
    """
    content = _file_in_memory()[0].tobytes()
    path, missed = tmp_path / "f.h5", []
    path.write_bytes(content)
    with path.open("r+b", buffering=0) as file:
        for at in range(len(content)):
            os.pwrite(file.fileno(), bytes([content[at] ^ 0x40]), at)
            try:
                _check(path)
            except CorruptCheckpointError:
                pass
            else:
                missed.append(at)
            os.pwrite(file.fileno(), content[at : at + 1], at)
    assert not missed
    assert path.read_bytes() == content
    _check(path)


@pytest.mark.parametrize("index", [i for i, dataset in enumerate(DATASETS) if 0 not in dataset.shape])
def test_damage_to_a_tensor_is_located(tmp_path, index):
    memory, layout = _file_in_memory()
    memory[layout.extents[index][0]] ^= 1
    (tmp_path / "f.h5").write_bytes(memory.tobytes())
    with LocalFile(tmp_path / "f.h5") as file:
        assert digests.find_damage(file, 0, *trailing_record.find(file)) == layout.extents[index]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_reported_as_damaged(tmp_path, share):
    memory, layout = _file_in_memory()
    cut = memory.tobytes()[: int(share * layout.size)]
    for content in (cut, cut + bytes(len(memory) - len(cut))):
        (tmp_path / "f.h5").write_bytes(content)
        with pytest.raises(CorruptCheckpointError, match=r"its structure|a record that is missing"):
            _check(tmp_path / "f.h5")


def test_a_table_of_digests_with_impossible_extents_is_refused(tmp_path):
    memory, layout = _file_in_memory()
    offset, length = layout.digests
    table = memory[offset : offset + length].view("<u8").reshape(-1, 3)
    for wrong in (2**63, 2**40, 0):
        for column in (0, 1):
            right, table[-1, column] = int(table[-1, column]), wrong
            (tmp_path / "f.h5").write_bytes(memory.tobytes())
            with pytest.raises(CorruptCheckpointError, match="its table of digests"):
                _check(tmp_path / "f.h5")
            table[-1, column] = right


def test_a_record_that_claims_to_be_longer_than_the_file_is_refused(tmp_path):
    (tmp_path / "f.h5").write_bytes(b"x" * 50 + (10**15).to_bytes(8, "little") + b"lastgood")
    with pytest.raises(CorruptCheckpointError, match="its record"):
        _check(tmp_path / "f.h5")


def test_an_array_that_claims_more_bytes_than_are_stored_is_refused(tmp_path):
    """No memory is allocated for it, here or by a later reader."""
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("vars/0", shape=(2**40,), dtype="float32")
    with pytest.raises(CorruptCheckpointError, match="the array 'vars/0' is longer than its stored bytes"):
        _check(tmp_path / "bomb.h5")


def test_an_array_of_the_other_byte_order_is_not_read_as_native_numbers(tmp_path):
    with h5py.File(tmp_path / "big.h5", "w") as file:
        file.create_dataset("vars/0", data=np.arange(3, dtype=">f4"))
    assert _check(tmp_path / "big.h5").arrays == {"vars/0": None}


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_digests_of_two_byte_strings_are_joined(first, second):
    assert join(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@pytest.mark.parametrize("sizes", [[], [5, 7], [300_000, 1, 800_000], [500_000] * 3])
def test_the_digest_of_a_whole_file_is_joined_from_those_of_its_tensors(sizes):
    memory = np.random.default_rng(0).integers(0, 256, sum(sizes) + 50 * (len(sizes) + 1), np.uint8)
    extents = [(50 * (i + 1) + sum(sizes[:i]), size) for i, size in enumerate(sizes)]
    table = digests.make_table(memory, extents)
    assert digests.of_whole(memory, extents, table) == zlib.crc32(memory)


BEFORE = {"metadata.json": b"{}", "config.json": b'{"a": 1}' * 1000}
AFTER = {"assets/layer/vocabulary.txt": "模型\n".encode() * 500}


def _archive(size, memory=None):
    start = zip_layout.start_of_weights(BEFORE)
    if memory is None:
        memory = np.zeros(zip_layout.length_with(start, size, AFTER, "the record"), np.uint8)
        memory[start : start + size] = np.arange(size) % 251
    crc = 0 if size > 10**9 else zlib.crc32(memory[start : start + size])
    return memory, start, zip_layout.finish(memory, start, size, crc, BEFORE, AFTER, "the record")


@pytest.mark.parametrize("size", [1, 4096, 1_000_003])
def test_zipfile_reads_an_archive_laid_out_in_memory(tmp_path, size):
    memory, start, length = _archive(size)
    (tmp_path / "f.keras").write_bytes(memory[:length].tobytes())
    with zipfile.ZipFile(tmp_path / "f.keras") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5", *AFTER]
        assert archive.comment == b"the record"
        assert archive.read("model.weights.h5") == memory[start : start + size].tobytes()
        assert all(archive.read(name) == content for name, content in {**BEFORE, **AFTER}.items())
    assert start % 4096 == 0
    assert zip_layout.place_of_weights(locate(tmp_path / "f.keras")) == ((start, size), b"the record")


def test_an_archive_of_more_than_four_gigabytes_is_readable(tmp_path):
    size, start = 2**32 + 5, zip_layout.start_of_weights(BEFORE)
    path = tmp_path / "f.keras"
    memory = np.memmap(path, np.uint8, "w+", shape=(zip_layout.length_with(start, size, AFTER, "the record"),))
    _, _, length = _archive(size, memory)  # the file is sparse: only its ends are written
    del memory
    with path.open("r+b") as file:
        file.truncate(length)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("model.weights.h5").file_size == size
        assert archive.read("config.json") == BEFORE["config.json"]
        assert archive.read("assets/layer/vocabulary.txt") == AFTER["assets/layer/vocabulary.txt"]
    assert zip_layout.place_of_weights(locate(path)) == ((start, size), b"the record")


def test_an_invalid_or_compressed_archive_is_reported_as_damaged(tmp_path):
    (tmp_path / "f.keras").write_bytes(b"no zip")
    with pytest.raises(CorruptCheckpointError, match="its structure"):
        zip_layout.place_of_weights(locate(tmp_path / "f.keras"))
    with zipfile.ZipFile(tmp_path / "g.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", random.Random(0).randbytes(1000))
    with pytest.raises(CorruptCheckpointError, match="is compressed, or ends outside the file"):
        zip_layout.place_of_weights(locate(tmp_path / "g.keras"))
