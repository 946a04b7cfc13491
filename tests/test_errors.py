"""Errors keep their attributes on the way to another process, as when a pool of workers loads checkpoints."""

import errno
import pickle
from pathlib import Path

import pytest

import lastgood

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
def test_another_process_gets_the_same_error(error):
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received) == vars(error)
    for name in ("errno", "filename"):  # of an OSError, which keeps them elsewhere
        assert getattr(received, name, None) == getattr(error, name, None)
