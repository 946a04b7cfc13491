"""The requirements for every storage, as tests that pytest collects; the only fixture used is ``tmp_path``."""

from .committing import Committing
from .crowding import Crowding
from .reading import Reading
from .runs import Runs


class StorageConformance(Committing, Crowding, Reading, Runs):
    """The tests that every storage for checkpoints must pass: for files, directories, and groups of files.

    >>> class TestMyStorage(StorageConformance):
    ...     def make_storage(self):
    ...         return MyStorage()
    ...
    ...     def make_directory(self, tmp_path):
    ...         return MyStorage().parse(f"my://bucket/{tmp_path.name}")

    Another process must be able to import the class, because some tests start and kill one. The tests look at files
    through the storage itself.

    Attributes:
        outlives_processes: Whether other processes see what one has saved. If not, tests that kill one are skipped.
        reads_on: Whether an open file stays readable after another one has replaced it. If not, reading it must raise
            an OSError whose ``errno`` is ``ESTALE``.
    """
