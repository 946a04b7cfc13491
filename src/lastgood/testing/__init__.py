"""Tools for tests: saves that fail on purpose, and a conformance suite for storages.

Test what your training does when the disk is full at the second save:

>>> import errno
>>> from lastgood.testing import Fault, faults
>>> with faults(Fault("commit", OSError(errno.ENOSPC, "No space left on device"), nth=2)):
...     checkpoint = lastgood.ModelCheckpoint("runs/{epoch}.keras", on_error="warn")  # doctest: +SKIP
>>> model.fit(x, y, epochs=3, callbacks=[checkpoint])  # doctest: +SKIP

Keep checkpoints in the memory of this process, and leave nothing on the disk:

>>> checkpoint = lastgood.ModelCheckpoint("memory://tests/{epoch}.keras")  # doctest: +SKIP

Test whether your own storage does what checkpoints need; pytest collects the class:

>>> from lastgood.testing import StorageConformance
>>> class TestMyStorage(StorageConformance):
...     def make_storage(self):
...         return MyStorage()
"""

from .._storage import MemoryStorage, Stage, Storage, StoredFile
from .conformance import StorageConformance
from .faults import POINTS, Crash, Fault, FaultyStorage, faults

__all__ = [
    "POINTS",
    "Crash",
    "Fault",
    "FaultyStorage",
    "MemoryStorage",
    "Stage",
    "Storage",
    "StorageConformance",
    "StoredFile",
    "faults",
]
