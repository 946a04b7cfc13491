"""The newest intact checkpoint, with its training state."""

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
    """An intact checkpoint.

    Attributes:
        at: Where it is.
        format: Its format.
        record: Its record.
        state: Its training state.
    """

    at: Location
    format: Format
    record: Record
    state: Mapping[str, Any]

    def check(self, adapter: ModelAdapter) -> None:
        """Check that it matches a model.

        Raises:
            RestoreError: It does not.
        """
        self._load(adapter, overwrite=False)

    def restore(self, adapter: ModelAdapter) -> None:
        """Restore weights, optimizer and seeds into a built model.

        Raises:
            RestoreError: The checkpoint does not match the model; nothing was overwritten.
        """
        self._load(adapter, overwrite=True)

    def _load(self, adapter: ModelAdapter, *, overwrite: bool) -> None:
        source = f"the checkpoint {str(self.at)!r}"
        try:
            adapter.build_optimizers(self.state.get("optimizers", {}))
        except IndexError as error:
            raise RestoreError(
                f"The model does not match {source}: it has fewer variables than the optimizers were built for. "
                "Build and compile the model as it was."
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
    """Raise a RestoreError for any exception that stock Keras raises in the block."""
    try:
        yield
    except Exception as error:
        if isinstance(error, LastgoodError) and not isinstance(error, StoreError):
            raise
        raise RestoreError(f"Error loading file from {at}. Reason: {error}") from error


def newest_intact(candidates: Sequence[tuple[Location, Format]]) -> Found | None:
    """Return the first intact candidate; rename the damaged ones before it, with a warning for each.

    Args:
        candidates: Locations and formats, newest first.

    Raises:
        RestoreError: No candidate is intact, in which case none is renamed; or the newest intact one has no training
            state.
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
            warnings.warn(f"{reason} It was renamed to {str(aside)!r}; {str(at)!r} is used instead.", stacklevel=2)
        return found
    if damaged:
        names = ", ".join(repr(str(at)) for at, _ in damaged[:3])
        raise RestoreError(
            f"No intact checkpoint among {len(damaged)}: {names}. The newest: {damaged[0][1]} "
            "To start fresh, move them away; nothing was changed."
        ) from damaged[0][1]
    return None


def open_checkpoint(at: Location, file_format: Format) -> Found:
    """Verify a checkpoint, and read its training state.

    Raises:
        CorruptCheckpointError: It is damaged, or the disk cannot read it.
        RestoreError: It has no training state, or the storage failed.
    """
    try:
        file_format.verify(at)
        record, content = file_format.read_record(at), file_format.read_training(at)
    except OSError as error:
        if error.errno == errno.EIO and not isinstance(error, StoreError):  # a failed request to a bucket is not damage
            raise CorruptCheckpointError(at, "a region that the disk cannot read", str(error)) from error
        raise RestoreError(f"Error loading file from {at}. Reason: it cannot be read: {error}.") from error
    if record is None or content is None:
        raise RestoreError(
            f"The checkpoint {str(at)!r} has no training state to resume from: lastgood did not write it, or an older "
            "version did. Load it with lastgood.load_weights(), and move it away or save to another path."
        )
    try:
        state = read_block(content)
        check.check(state)
    except ValueError as error:
        raise CorruptCheckpointError(at, "its training state", str(error)) from error
    return Found(at, file_format, record, state)
