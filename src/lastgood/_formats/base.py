"""What every file format can do, and what it hands on between a save's two halves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .. import _frameworks
from .._layout.training_block import Training, TrainingBlock
from .._record import Record
from .._snapshot import copier
from .._snapshot.taking import Taking
from .._storage.entries import tree_bytes

BY_STOCK = "this model holds what only stock Keras can lay out, so training waits while that writes it"
# Bytes to have ready for a record whose length is not known yet.
USUAL_RECORD = 4096

WhenAlike = Callable[[], None]

Report = Callable[[int], None]
"""Told, while a file is written, how many bytes of it have been."""


def _nothing(path: Path) -> None:
    del path


@dataclass(frozen=True)
class Snapshot:
    """A save that is still to be written, and part of whose state may still have to be taken.

    Attributes:
        write: Writes the checkpoint to a path where nothing is yet; raises OSError where the storage refuses.
        seal: Completes what was written: it gets its record.
        size: Bytes to be written; 0 where only the writing will tell.
        live: The writing reads the model itself, so training must wait for it; for the rest it need not.
        before: Told, before it is written, where the checkpoint is to appear.
        after: Told where it has appeared.
        note: What the user should know of it, once; empty if nothing.
        taking: Takes what of the state is not taken yet; the writing waits for it where it must.
    """

    write: Callable[[Path, Report], None]
    seal: Callable[[Path], None] = _nothing
    size: int = 0
    live: bool = False
    note: str = ""
    before: Callable[[Path], None] = _nothing
    after: Callable[[Path], None] = _nothing
    taking: Taking = field(default_factory=Taking)


def to_bytes(model: Any, training: TrainingBlock) -> bytes:
    """Return the training state of ``model`` as it is now."""
    return training.to_bytes(copier(_frameworks.of(model).backend()))


def live(write: Callable[[Path], None], seal: Callable[[Path], None] = _nothing, *, note: str = "") -> Snapshot:
    """Return the snapshot of what stock Keras writes, from the model itself: nothing is taken beforehand.

    Args:
        write: Has stock Keras write to a path.
        seal: Completes what it wrote.
        note: What the user should know of it.
    """

    def write_and_report(path: Path, report: Report) -> None:
        write(path)
        report(tree_bytes(path))

    return Snapshot(write_and_report, seal, live=True, note=note)


class Format(Protocol):
    """Where each byte of a checkpoint goes. A format writes to a path that the storage gave it, and commits nothing.

    Attributes:
        name: The format's name, as records have it.
        suffix: The ending that its writer insists on; empty for a directory.
        takes_options: Whether stock tf_keras hands ``options`` to its writer.
    """

    name: str
    suffix: str
    takes_options: bool

    def check_model(self, model: Any) -> None:
        """Raise before anything is written if this format cannot hold ``model``.

        Raises:
            ArgumentError: It cannot, and the message says which format can.
        """
        ...

    def prepare(self, model: Any, training: Training) -> int:
        """Get ready for saves of ``model``; return about the bytes of staging buffer that they take, 0 for none."""
        ...

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Take the state of ``model`` as it is now, or say how; the staging buffer must be free."""
        ...

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return the variables that training changes, and :meth:`load_weights` does not load."""
        ...

    def read_record(self, path: Path) -> Record | None:
        """Return the record of the checkpoint at ``path``; None if it has none or cannot be read."""
        ...

    def read_training(self, path: Path) -> bytes | None:
        """Return the training state of the checkpoint at ``path``, which was verified; None if it has none."""
        ...

    def verify(self, path: Path) -> None:
        """Check every byte that has a digest.

        Raises:
            CorruptCheckpointError: The checkpoint is damaged.
            OSError: The system refused.
        """
        ...

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Load the weights of the checkpoint at ``path`` into ``model``.

        Args:
            model: A built model.
            path: The checkpoint.
            when_alike: If it is given, the checkpoint was verified, and has to have the model's variables, all of them
                and no others. It is called when that is so, before any is overwritten.

        Raises:
            Exception: Whatever stock Keras raises for a file that does not fit or is damaged.
        """
        ...

    def may_replace(self, path: Path) -> bool:
        """Tell whether what is at ``path``, if anything, is something that a new checkpoint may take the place of."""
        ...
