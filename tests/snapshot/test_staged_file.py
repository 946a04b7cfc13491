"""A file in the staging buffer, which HDF5 writes to because it can lose data on a disk."""

import h5py
import numpy as np

from lastgood._snapshot.staged_file import StagedFile


def test_a_staged_file_can_grow_beyond_its_expected_size():
    arrays = {f"group/{i}": np.random.default_rng(i).normal(size=(300, 1000)) for i in range(8)}
    staged = StagedFile(1000)
    with h5py.File(staged, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs["note"] = "text"
    assert staged.length > sum(array.nbytes for array in arrays.values())
    staged.seek(0)
    with h5py.File(staged, "r") as file:
        assert file.attrs["note"] == "text"
        assert all((file[name][:] == array).all() for name, array in arrays.items())


def test_unwritten_bytes_are_zeros_rather_than_leftovers_of_an_earlier_save():
    earlier = StagedFile(100)
    earlier.write(b"\xff" * 100)
    staged = StagedFile(100)
    staged.seek(50)
    staged.write(b"end")
    staged.seek(0)
    assert staged.read(100) == bytes(50) + b"end"
    staged.truncate(10)
    assert staged.length == 10
