"""For tests: saves that fail on purpose, and what every storage has to do.

A training of yours, and what it does when a disk is full at its second save:

>>> import errno
>>> from lastgood.testing import Fault, faults
>>> with faults(Fault("commit", OSError(errno.ENOSPC, "No space left on device"), nth=2)):
...     checkpoint = lastgood.ModelCheckpoint("runs/{epoch}.keras", on_error="warn")  # doctest: +SKIP
>>> model.fit(x, y, epochs=3, callbacks=[checkpoint])  # doctest: +SKIP

A training whose checkpoints stay in this process's memory, and that leaves nothing on the disk:

>>> checkpoint = lastgood.ModelCheckpoint("memory://tests/{epoch}.keras")  # doctest: +SKIP

A storage of yours, and whether it does what a checkpoint needs, for pytest to collect:

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
