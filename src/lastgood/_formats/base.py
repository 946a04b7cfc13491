"""What every file format can do, and what it passes from the first half of a save to the second."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from .._bytes.training_block import Training, TrainingBlock
from .._errors import ArgumentError, RestoreError, SaveError, TargetIsDirectoryError
from .._keras import Generation, ModelAdapter, ModelLoader
from .._record import Record
from .._snapshot import copier
from .._snapshot.state_copy import StateCopy
from .._storage import Extent, Location, Report, Stage, StoredFile
from .._storage.base import Kind

BY_STOCK = "this model holds what only stock Keras can lay out, so training waits while that writes it"
# Bytes to have ready for a record whose length is not known yet.
USUAL_RECORD = 4096

Fill = Callable[[], None]
"""Overwrites the model's variables with those of a checkpoint that fits it."""


Places = Callable[[Sequence[Any]], list[npt.NDArray[Any]]]
"""Returns, for some variables, the memory that their values are written from."""


def _nothing(stage: Stage) -> None:
    del stage


def _no_places(variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
    raise ArgumentError(f"What stock Keras writes has no places for parts of {len(variables)} variables.")


def _nothing_more(at: Location) -> None:
    del at


@dataclass(frozen=True)
class Snapshot:
    """A save that is still to be written, and part of whose state may still have to be copied.

    Attributes:
        write: Writes the checkpoint to a stage that is empty; raises OSError if the storage fails.
        seal: Completes what was written: it gets its record.
        size: Bytes to be written; 0 if only the writing will tell.
        live: Whether the writing reads the model itself, so that training must wait for it. For the rest it need not.
        after: Called with the place where the checkpoint has appeared.
        note: What the user should know about this way of saving, once; empty if nothing.
        copy: Copies what is not copied yet; the writing waits for it where it must.
        places: Returns, for some variables, where in memory their values are written from. What other processes have
            of them is put there before the writing begins.
    """

    write: Callable[[Stage, Report], None]
    seal: Callable[[Stage], None] = _nothing
    size: int = 0
    live: bool = False
    note: str = ""
    after: Callable[[Location], None] = _nothing_more
    copy: StateCopy = field(default_factory=StateCopy)
    places: Places = _no_places


def to_bytes(adapter: ModelAdapter, training: TrainingBlock) -> bytes:
    """Return the training state of a model as it is now."""
    return training.to_bytes(copier(adapter.backend()))


def live(write: Callable[[Path], None], seal: Callable[[Stage], None] = _nothing, *, note: str = "") -> Snapshot:
    """Return the snapshot of what stock Keras writes from the model itself: nothing is copied beforehand.

    Args:
        write: Has stock Keras write to a path.
        seal: Completes what it wrote.
        note: What the user should know about it.
    """

    def write_and_report(stage: Stage, report: Report) -> None:
        write(stage.path)
        report(stage.size())

    return Snapshot(write_and_report, seal, live=True, note=note)


class Format(ABC):
    """Where each byte of a checkpoint goes. A format writes to a stage that the storage gave it and commits nothing.

    Attributes:
        name: The format's name, as records have it.
        endings: By generation of Keras that writes it, the endings of a path that ask for it; the empty one stands for
            a path without an ending.
        weights_only: Whether it holds weights rather than a whole model.
        describes: A few words for people, such as ``"whole model"``.
        only_reader: The tool that alone reads its arrays; None if they can be read here.
        exports: Whether its weights can be exported to other files.
        suffix: The ending that its writer insists on; empty for a directory or a group.
        takes_options: Whether stock Keras hands ``options`` to its writer.
    """

    name: ClassVar[str]
    endings: ClassVar[Mapping[Generation, tuple[str, ...]]]
    weights_only: ClassVar[bool]
    describes: ClassVar[str]
    only_reader: ClassVar[str | None] = None
    exports: ClassVar[bool] = False
    suffix: str = ""
    takes_options: bool = False

    def __init__(self, ending: str = "", generation: Generation = "keras", options: Any = None) -> None:
        """Take what chose the format.

        Args:
            ending: The path's ending.
            generation: The Keras that writes.
            options: What TensorFlow's own formats are written with; None for their defaults.
        """
        self._ending = ending
        self._generation = generation
        self._options = options

    @classmethod
    @abstractmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if a checkpoint is of this format; those before this one in the table are not.

        Args:
            at: The checkpoint.
            kind: What is there.
            names: What lies in it, if it is a directory.
        """

    def check_model(self, adapter: ModelAdapter) -> None:
        """Raise before anything is written if this format cannot hold the model.

        Raises:
            ArgumentError: It cannot; the message says which format can.
        """
        if adapter.generation not in self.endings:
            raise ArgumentError(
                f"The format '{self.name}' is not one of {adapter.generation}, which this model is of. End the path in "
                "'.keras' or '.weights.h5'."
            )

    def check_processes(self, adapter: ModelAdapter, split: Sequence[Any]) -> None:
        """Check that one of several processes that train a model can save it for all.

        Args:
            adapter: The model.
            split: The variables of which each process has parts.

        Raises:
            ArgumentError: It cannot.
        """
        if split:
            raise ArgumentError(
                f"The variable '{adapter.path_of(split[0])}' is split over the devices of several processes, and "
                f"{len(split) - 1} more are. The format '{self.name}' cannot be written from parts. End the path in "
                "'.keras' or '.weights.h5'."
            )

    def own_save(self, adapter: ModelAdapter) -> Callable[[str], object] | None:
        """Return the model's own method for what this format holds; None if it has none. It is called as stock does."""
        options = {"options": self._options} if self.takes_options else {}
        return adapter.own_save(weights_only=self.weights_only, **options)

    @abstractmethod
    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Get ready for saves of a model; return about how many bytes of staging buffer they take, 0 for none."""

    @abstractmethod
    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy the state of a model as it is now, or say how; the staging buffer must be free."""

    @abstractmethod
    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return the variables that training changes and that loading the weights does not restore."""

    @abstractmethod
    def read_record(self, at: Location) -> Record | None:
        """Return a checkpoint's record; None if it has none or it cannot be read."""

    @abstractmethod
    def read_training(self, at: Location) -> bytes | None:
        """Return the training state of a checkpoint that was verified; None if it has none."""

    @abstractmethod
    def verify(self, at: Location) -> None:
        """Check every byte that has a digest.

        Raises:
            CorruptCheckpointError: The checkpoint is damaged.
            OSError: The storage failed.
        """

    @abstractmethod
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> AbstractContextManager[Fill]:
        """Open a checkpoint to load its weights into a built model; give the function that overwrites the model's.

        Args:
            adapter: The model.
            at: The checkpoint.
            verified: Whether it was verified, so that its digests need not be checked again.
            exact: Whether it must have exactly the model's variables.

        Raises:
            CorruptCheckpointError: It is damaged; nothing was overwritten.
            RestoreError: It is not one of this model; nothing was overwritten.
            Exception: Whatever stock Keras raises for a file that does not fit, where the loading is Keras's.
        """

    def load_model(self, at: Location, loader: ModelLoader) -> Any:
        """Check a checkpoint, and return its model: by stock Keras, where a format does not know better.

        Raises:
            CorruptCheckpointError: It is damaged; no model was made.
            RestoreError: It holds weights and no model.
            Exception: Whatever stock Keras raises.
        """
        if self.weights_only:
            raise holds_no_model(at)
        self.verify(at)
        with at.local() as path:
            return loader.whole(str(path))

    @abstractmethod
    def may_replace(self, at: Location) -> bool:
        """Return True if a new checkpoint may take the place of what is at ``at``, if anything is."""

    def check_replaceable(self, at: Location) -> None:
        """Check that a checkpoint may take the place of what is at ``at``.

        Raises:
            TargetIsDirectoryError: It is a directory that is not a checkpoint of this format.
            SaveError: It is a file, where a directory is to be written.
        """
        if self.may_replace(at):
            return
        if at.kind == "directory":
            raise TargetIsDirectoryError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory: "
                f"{at} (and it is no checkpoint of the format '{self.name}', so it is not replaced)"
            )
        raise SaveError(
            f"Could not save the checkpoint {str(at)!r}: a file is there, and the format '{self.name}' writes a "
            "directory. Remove the file, or save elsewhere."
        )

    def arrays(self, at: Location) -> AbstractContextManager[tuple[StoredFile, Extent]]:
        """Open the HDF5 file that holds a checkpoint's arrays; give the file that it lies in, and where.

        Raises:
            ArgumentError: Only another tool reads the arrays of this format.
        """
        raise ArgumentError(
            f"Only {self.only_reader} reads the arrays of {str(at)!r}. "
            "Load them into their model with lastgood.load_weights, and save that as .weights.h5."
        )

    def config(self, at: Location) -> bytes | None:
        """Return the JSON of a model's configuration; None if the checkpoint has none."""
        del at
        return None

    def copy_with_weights(self, at: Location, weights: Path, target: Path) -> None:
        """Write a copy of a checkpoint that has other weights; ``weights`` is a ``.weights.h5`` file.

        Raises:
            ArgumentError: This format cannot.
        """
        del at, weights, target
        raise ArgumentError(f"A checkpoint of the format '{self.name}' cannot be copied with other weights.")


def holds_no_model(at: Location) -> RestoreError:
    """Return the error for a checkpoint of weights from which a model was to be made."""
    return RestoreError(
        f"Error loading a model from {at}. Reason: it holds weights and no model. Build the model, and load them into "
        "it with lastgood.load_weights()."
    )


class FileFormat(Format):
    """A checkpoint that is one file."""

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if the path has one of the endings."""
        del names
        return kind != "directory" and any(at.name.endswith(each) for ends in cls.endings.values() for each in ends)

    def may_replace(self, at: Location) -> bool:
        """Return True unless a directory is there."""
        return at.kind != "directory"

    def arrays(self, at: Location) -> AbstractContextManager[tuple[StoredFile, Extent]]:
        """Open the file, which is an HDF5 file."""
        return _whole(at)


@contextmanager
def _whole(at: Location) -> Iterator[tuple[StoredFile, Extent]]:
    with at.open() as file:
        yield file, Extent(0, file.size)
