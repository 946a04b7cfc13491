"""A file in the staging buffer, into which HDF5 writes what it would lose on a disk."""

import h5py
import numpy as np

from lastgood._snapshot.staged_file import StagedFile


def test_what_is_written_is_there_though_it_is_longer_than_was_thought():
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


def test_what_nobody_has_written_is_zeros_and_not_what_an_earlier_save_left():
    earlier = StagedFile(100)
    earlier.write(b"\xff" * 100)
    staged = StagedFile(100)
    staged.seek(50)
    staged.write(b"end")
    staged.seek(0)
    assert staged.read(100) == bytes(50) + b"end"
    staged.truncate(10)
    assert staged.length == 10
