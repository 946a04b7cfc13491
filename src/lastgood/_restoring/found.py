"""The newest intact checkpoint, with what it holds besides weights."""

import errno
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._bytes.training_block import read_block
from .._errors import CorruptCheckpointError, LastgoodError, RestoreError, StoreError
from .._formats import Format
from .._keras import ModelAdapter
from .._record import Record
from .._run import set_aside
from .._state import check, model
from .._storage import Location


@dataclass(frozen=True)
class Found:
    """A checkpoint that is intact.

    Attributes:
        at: Where it is.
        format: Its format.
        record: What is known of it.
        state: What it holds besides weights.
    """

    at: Location
    format: Format
    record: Record
    state: Mapping[str, Any]

    def check(self, adapter: ModelAdapter) -> None:
        """Check that it is one of this model.

        Raises:
            RestoreError: It is not.
        """
        self._load(adapter, overwrite=False)

    def restore(self, adapter: ModelAdapter) -> None:
        """Put weights, optimizer and seeds into a built model.

        Raises:
            RestoreError: The checkpoint is not one of this model; nothing was overwritten.
        """
        self._load(adapter, overwrite=True)

    def _load(self, adapter: ModelAdapter, *, overwrite: bool) -> None:
        source = f"the checkpoint {str(self.at)!r}"
        try:
            adapter.build_optimizers(self.state.get("optimizers", {}))
        except IndexError as error:
            raise RestoreError(
                f"The model is not the one of {source}: it has fewer variables than those that the optimizers were "
                "built for. Build and compile the model as it was."
            ) from error
        unsaved = self.format.unsaved_variables(adapter)
        with explaining(self.at), self.format.loading(adapter, self.at, verified=True, exact=True) as fill:
            assign = model.checked(adapter, unsaved, self.state, source)
            if overwrite:
                fill()
        if overwrite:
            assign()


@contextmanager
def explaining(at: Location) -> Iterator[None]:
    """Raise what stock Keras raises in the block, which is of any type, as a RestoreError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, LastgoodError) and not isinstance(error, StoreError):
            raise
        raise RestoreError(f"Error loading file from {at}. Reason: {error}") from error


def newest_intact(candidates: Sequence[tuple[Location, Format]]) -> Found | None:
    """Return the first of the candidates that is intact; those before it are set aside, with a warning.

    Args:
        candidates: Places and formats, the newest first.

    Raises:
        CorruptCheckpointError: There are some, and none is intact: they are left where they are.
        RestoreError: The newest that is intact holds nothing that training could continue from.
    """
    damaged: list[tuple[Location, CorruptCheckpointError]] = []
    for at, file_format in candidates:
        try:
            found = open_checkpoint(at, file_format)
        except CorruptCheckpointError as error:
            damaged.append((at, error))
            continue
        for bad, reason in damaged:
            aside = set_aside(bad)
            warnings.warn(f"{reason} It is now {str(aside)!r}; {str(at)!r} is used instead.", stacklevel=2)
        return found
    if damaged:
        names = ", ".join(repr(str(at)) for at, _ in damaged[:3])
        raise RestoreError(
            f"No checkpoint is intact, of {len(damaged)}: {names}. The newest: {damaged[0][1]} "
            "To start anew, move them away; nothing was changed."
        ) from damaged[0][1]
    return None


def open_checkpoint(at: Location, file_format: Format) -> Found:
    """Check a checkpoint, and read what it holds besides weights.

    Raises:
        CorruptCheckpointError: It is damaged, or the disk cannot read it.
        RestoreError: It holds nothing besides weights, or the storage failed.
    """
    try:
        file_format.verify(at)
        record, content = file_format.read_record(at), file_format.read_training(at)
    except OSError as error:
        if error.errno == errno.EIO and not isinstance(error, StoreError):  # a network is not damage
            raise CorruptCheckpointError(at, "a place that the disk does not give back", str(error)) from error
        raise RestoreError(f"Error loading file from {at}. Reason: it cannot be read: {error}.") from error
    if record is None or content is None:
        raise RestoreError(
            f"The checkpoint {str(at)!r} does not hold what training could go on with: lastgood did not write it, or "
            "an older version did. Load it with lastgood.load_weights(), and move it away or save to another path."
        )
    try:
        state = read_block(content)
        check.check(state)
    except ValueError as error:
        raise CorruptCheckpointError(at, "its training state", str(error)) from error
    return Found(at, file_format, record, state)
