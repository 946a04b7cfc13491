"""The base classes of the file formats, and the snapshot that a format returns for the writer."""

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

BY_STOCK = "only stock Keras can lay out this model's file, so training waits while Keras writes it"
# Bytes to reserve for a record whose length is not known yet.
USUAL_RECORD = 4096

Fill = Callable[[], None]
"""Overwrites the model's variables with those of a checkpoint that fits the model."""


Write = Callable[[Stage, Report], list[str]]
"""Writes files to a stage, and returns their names; raises OSError if the storage fails."""

Places = Callable[[Sequence[Any]], list[npt.NDArray[Any]]]
"""Returns, for the given variables, the arrays that their values are written from."""


def _nothing(stage: Stage) -> None:
    del stage


def _no_places(variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
    raise ArgumentError(f"Stock Keras writes this file, so parts of {len(variables)} variables have no place in it.")


def _nothing_more(at: Location) -> None:
    del at


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that is still to be written; some of its state may still have to be copied.

    Attributes:
        write: Writes the checkpoint to an empty stage; raises OSError if the storage fails.
        seal: Completes what was written by adding its record.
        size: The number of bytes to write; 0 if it is not known before they are written.
        live: Whether writing reads the model itself. Only then must training wait for it.
        after: Called with the location at which the checkpoint has appeared.
        note: What the user should know about this way of saving, said once; may be empty.
        copy: Copies the rest of the state; the writer waits for it where necessary.
        places: Returns, for the given variables, the arrays that their values are written from. Parts that other
            processes hold are put there before writing begins.
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
    """Return the current training state of a model."""
    return training.to_bytes(copier(adapter.backend()))


def live(write: Callable[[Path], None], seal: Callable[[Stage], None] = _nothing, *, note: str = "") -> Snapshot:
    """Return a snapshot that stock Keras writes from the model itself: nothing is copied beforehand.

    Args:
        write: Calls stock Keras to write to a path.
        seal: Completes what Keras wrote.
        note: What the user should know about this way of saving.
    """

    def write_and_report(stage: Stage, report: Report) -> None:
        write(stage.path)
        report(stage.size())

    return Snapshot(write_and_report, seal, live=True, note=note)


class Format(ABC):
    """The layout of a checkpoint. A format writes to a stage that the storage provides, and commits nothing.

    Attributes:
        name: The format's name, as in records.
        endings: For each generation of Keras that writes it, the path endings that select it; the empty string stands
            for a path without an ending.
        weights_only: Whether it holds weights rather than a whole model.
        describes: A short description for messages, such as ``"whole model"``.
        only_reader: The only tool that can read its arrays; None if lastgood can read them.
        exports: Whether its weights can be exported to other files.
        suffix: The ending that its writer requires; empty for a directory or a group.
        takes_options: Whether stock Keras passes ``options`` to its writer.
        all_write: Whether each of several processes writes the parts of the state that it holds.
    """

    name: ClassVar[str]
    endings: ClassVar[Mapping[Generation, tuple[str, ...]]]
    weights_only: ClassVar[bool]
    describes: ClassVar[str]
    only_reader: ClassVar[str | None] = None
    exports: ClassVar[bool] = False
    suffix: str = ""
    takes_options: bool = False
    all_write: ClassVar[bool] = False

    def __init__(self, ending: str = "", generation: Generation = "keras", options: Any = None) -> None:
        """Store what selected the format.

        Args:
            ending: The path's ending.
            generation: The generation of Keras that writes.
            options: The options for writing TensorFlow's own formats; None for the defaults.
        """
        self._ending = ending
        self._generation = generation
        self._options = options

    @classmethod
    @abstractmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if a checkpoint has this format, given that no earlier format in the table recognizes it.

        Args:
            at: The checkpoint.
            kind: The kind of the checkpoint; None if nothing is there.
            names: The names in it, if it is a directory.
        """

    def check_model(self, adapter: ModelAdapter) -> None:
        """Check that this format can hold the model, before anything is written.

        Raises:
            ArgumentError: It cannot; the message says which format can.
        """
        if adapter.generation not in self.endings:
            raise ArgumentError(
                f"The format '{self.name}' cannot hold a model of {adapter.generation}. End the path in '.keras' or "
                "'.weights.h5'."
            )

    def check_processes(self, adapter: ModelAdapter, split: Sequence[Any]) -> None:
        """Check that one of several processes that train a model can save it for all of them.

        Args:
            adapter: The model.
            split: The variables of which each process holds only parts.

        Raises:
            ArgumentError: It cannot.
        """
        if split:
            raise ArgumentError(
                f"The variable '{adapter.path_of(split[0])}' (and {len(split) - 1} more) is split over the devices of "
                f"several processes, and the format '{self.name}' cannot be written from parts. End the path in "
                "'.keras' or '.weights.h5'."
            )

    def own_parts(self, adapter: ModelAdapter) -> Write:
        """Copy the parts that this process, which is not the chief, has to write; only if ``all_write``."""
        raise NotImplementedError

    def files_elsewhere(self, adapter: ModelAdapter) -> set[str]:
        """Return the names of the files that the other processes have to write; only if ``all_write``."""
        raise NotImplementedError

    def own_save(self, adapter: ModelAdapter) -> Callable[[str], object] | None:
        """Return the model's own save method, to be called as stock Keras calls it; None if the model has none."""
        options = {"options": self._options} if self.takes_options else {}
        return adapter.own_save(weights_only=self.weights_only, **options)

    def only_reader_of(self, at: Location) -> str | None:
        """Return the only tool that can read the arrays of a checkpoint; None if lastgood can read them."""
        del at
        return self.only_reader

    @abstractmethod
    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Prepare to save a model; return the approximate size of the staging buffer in bytes, 0 if none is used."""

    @abstractmethod
    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Return a snapshot of the model's current state, copied or ready to be copied to the free staging buffer."""

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
        """Open a checkpoint to load its weights into a built model; yield the function that overwrites the variables.

        Args:
            adapter: The model.
            at: The checkpoint.
            verified: Whether it was verified, so that its digests need not be checked again.
            exact: Whether it must have exactly the model's variables.

        Raises:
            CorruptCheckpointError: It is damaged; nothing was overwritten.
            RestoreError: It does not match the model; nothing was overwritten.
            Exception: Whatever stock Keras raises for a file that does not fit, if Keras loads it.
        """

    def load_model(self, at: Location, loader: ModelLoader) -> Any:
        """Check a checkpoint, and return its model; stock Keras loads it unless a format overrides this method.

        Raises:
            CorruptCheckpointError: It is damaged; no model was made.
            RestoreError: It holds weights but no model.
            Exception: Whatever stock Keras raises.
        """
        if self.weights_only:
            raise holds_no_model(at)
        self.verify(at)
        with at.local() as path:
            return loader.whole(str(path))

    @abstractmethod
    def may_replace(self, at: Location) -> bool:
        """Return True if a new checkpoint may replace what is at ``at``, or if nothing is there."""

    def check_replaceable(self, at: Location) -> None:
        """Check that a new checkpoint may replace what is at ``at``.

        Raises:
            TargetIsDirectoryError: It is a directory that is not a checkpoint of this format.
            SaveError: It is a file, but this format writes a directory.
        """
        if self.may_replace(at):
            return
        if at.kind == "directory":
            raise TargetIsDirectoryError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory: "
                f"{at} (it is not a checkpoint of the format '{self.name}', so it is not replaced)"
            )
        raise SaveError(
            f"Could not save the checkpoint {str(at)!r}: a file is there, and the format '{self.name}' writes a "
            "directory. Remove the file, or save elsewhere."
        )

    def arrays(self, at: Location) -> AbstractContextManager[tuple[StoredFile, Extent]]:
        """Open the HDF5 file that holds a checkpoint's arrays; yield the file that contains it, and its extent there.

        Raises:
            ArgumentError: Only another tool can read the arrays of this format.
        """
        raise ArgumentError(
            f"Only {self.only_reader} reads the arrays of {str(at)!r}. "
            "Load them into their model with lastgood.load_weights, and save the model as .weights.h5."
        )

    def config(self, at: Location) -> bytes | None:
        """Return the JSON of a model's configuration; None if the checkpoint has none."""
        del at
        return None

    def copy_with_weights(self, at: Location, weights: Path, target: Path) -> None:
        """Copy a checkpoint to ``target``, with its weights replaced by those in ``weights``, a ``.weights.h5`` file.

        Raises:
            ArgumentError: This format does not support it.
        """
        del weights, target
        raise ArgumentError(
            f"{str(at)!r}, of the format '{self.name}', has no model that can be copied to a '.keras' file. Build the "
            "model, load the checkpoint with lastgood.load_weights(), and save the model."
        )


def holds_no_model(at: Location) -> RestoreError:
    """Return the error for loading a whole model from a checkpoint that holds only weights."""
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
