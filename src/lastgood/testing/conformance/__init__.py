"""What every storage has to do, as tests that pytest collects; they need nothing of pytest but ``tmp_path``."""

from .committing import Committing
from .crowding import Crowding
from .reading import Reading
from .runs import Runs


class StorageConformance(Committing, Crowding, Reading, Runs):
    """What any storage must do that checkpoints are to lie in: a file, a directory, and a group of files.

    >>> class TestMyStorage(StorageConformance):
    ...     def make_storage(self):
    ...         return MyStorage()
    ...
    ...     def make_directory(self, tmp_path):
    ...         return MyStorage().parse(f"my://bucket/{tmp_path.name}")

    The class has to be one that another process can import: some tests kill one. What lies where is asked of the
    storage itself.

    Attributes:
        outlives_processes: Whether another process finds what one has saved. If not, tests that kill one are skipped.
        reads_on: Whether who has opened a file reads on when another has taken its place. If not, that is an error
            with the number ``ESTALE``.
    """
