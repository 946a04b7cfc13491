"""One checkpoint of a run, as users and reports see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._loading import load_model
from ._record import Record
from ._storage import Location


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a run.

    Attributes:
        path: Where it is: a path or, outside of the file system, an object whose ``str()`` is the URL.
        format: Its format's name, such as ``"keras"``.
        size: Its length in bytes.
        created: When it was saved, in seconds since 1970; when its file was written, if it has no record.
        step: The optimizer's step; None if it has no record, because stock Keras wrote it.
        epoch: The epoch, counted from 1; None if it has no record.
        batch: Batches done in that epoch; None for a save at its end.
        metrics: Its metrics by name, including those logged after the save.
        pinned: Whether it is protected from pruning.
        record: Its record, with the metrics above; None if it has none.
        shared: Bytes that it shares with an earlier checkpoint on the disk, so that they were not written again; also
            0 if the run has no journal, which lists them.
    """

    path: Path | Location
    format: str
    size: int
    created: float
    step: int | None
    epoch: int | None
    batch: int | None
    metrics: Mapping[str, float]
    pinned: bool
    record: Record | None
    shared: int = 0

    def load_model(
        self,
        custom_objects: Mapping[str, Any] | None = None,
        compile: bool = True,
        safe_mode: bool = True,
    ) -> Any:
        """Return the model in this checkpoint; see :func:`lastgood.load_model`, also for the exceptions.

        Args:
            custom_objects: Your own classes and functions, by the names that the configuration uses for them.
            compile: Whether to compile the model as it was saved, and to load the optimizer's state.
            safe_mode: Whether to refuse a configuration that contains code, such as a lambda.
        """
        return load_model(self.path, custom_objects, compile, safe_mode)


@dataclass(frozen=True)
class Problem:
    """A problem with a checkpoint.

    Attributes:
        path: The checkpoint.
        region: What is damaged, in words.
        reason: The problem, as a sentence about the checkpoint.
    """

    path: Path | Location
    region: str
    reason: str
