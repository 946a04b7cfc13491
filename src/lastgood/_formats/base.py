"""What every format can do."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

from .._record import Record


class Format(Protocol):
    """How a model becomes a file or a directory that stock Keras loads.

    Attributes:
        name: The format's name, as records show it.
        suffix: The ending that a temporary path must have for stock Keras to write to it.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    def check_model(self, model: Any) -> None:
        """Check that a file of this format can hold ``model`` so that stock Keras loads it again.

        Raises:
            ArgumentError: It cannot; the message names the variable.
        """
        ...

    def write(self, model: Any, path: Path, record: Record) -> None:
        """Write ``model``, and its record with it, to ``path``, where there is nothing yet.

        Raises:
            OSError: The storage refused; HDF5 may say so in a ``RuntimeError``.
        """
        ...

    def read_record(self, path: Path) -> Record | None:
        """Return the record of the checkpoint at ``path``; None if it has none, or none that can be read."""
        ...

    def load_weights(self, model: Any, path: Path) -> None:
        """Load the checkpoint at ``path`` into ``model``, which is built.

        Raises:
            OSError: ``path`` cannot be read.
            ValueError: It is not a checkpoint of this format, or does not fit the model.
        """
        ...

    def may_replace(self, path: Path) -> bool:
        """Tell whether what lies at ``path`` may give way to a checkpoint of this format."""
        ...
