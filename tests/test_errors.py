"""Errors keep their attributes on the way to another process, as when a pool of workers loads checkpoints."""

import errno
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lastgood
from lastgood._formats import hdf5_by_stock
from lastgood._formats.weights_h5 import WeightsH5
from lastgood._record import Record
from lastgood._storage import locate

DISK_FULL = OSError(errno.ENOSPC, "No space left on device", "runs/1.keras")


@pytest.mark.parametrize(
    "error",
    [
        lastgood.ArgumentError("filepath is empty"),
        lastgood.PlaceholderError("the logs have no 'val_loss'"),
        lastgood.SaveError.during("save", "runs/1.keras", DISK_FULL),
        lastgood.RestoreError("another model"),
        lastgood.CorruptCheckpointError(Path("runs/1.keras"), "the array 'dense/vars/0'", "it is cut", "dense/vars/0"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_after_pickling(error):
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received) == vars(error)
    for name in ("errno", "filename"):  # of an OSError, which keeps them elsewhere
        assert getattr(received, name, None) == getattr(error, name, None)


def test_another_process_gets_the_same_error(tmp_path):
    at, name, numbers = locate(tmp_path / "1.weights.h5"), "layers/dense/vars/0", np.array([1.0, 2.0])
    record = Record(10, 1, None, {}, "weights.h5", 1000.0, {}, "a run", "{epoch}.weights.h5")
    snapshot = hdf5_by_stock.snapshot(lambda file: file.update({name: numbers}), 1000, record, b"")
    with at.storage.stage(at.path, ".weights.h5") as stage:
        snapshot.write(stage, lambda size: None)
    content = Path(at.path).read_bytes()
    Path(at.path).write_bytes(content.replace(numbers.tobytes(), (numbers + 1).tobytes()))
    with pytest.raises(lastgood.CorruptCheckpointError) as here:
        WeightsH5().verify(at)
    assert here.value.array == name
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        received = pool.submit(WeightsH5().verify, at).exception(timeout=60)
    assert type(received) is lastgood.CorruptCheckpointError
    assert str(received) == str(here.value)
    assert vars(received) == vars(here.value)
