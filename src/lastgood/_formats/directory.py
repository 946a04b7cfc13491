"""Checkpoints that are directories, whose record is a file in them."""

from collections.abc import Collection
from typing import ClassVar

from .._bytes import directory_record
from .._record import Record
from .._storage import Location
from .._storage.base import Kind
from .base import Format


class DirectoryFormat(Format):
    """A directory that holds certain files, and ``lastgood.json`` and ``lastgood.training`` beside them.

    Attributes:
        markers: Names that every such directory holds.
    """

    markers: ClassVar[set[str]]

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if the directory holds the markers, or nothing."""
        return kind == "directory" and not at.is_link() and (not names or cls.markers <= set(names))

    def read_record(self, at: Location) -> Record | None:
        """Return the record in the directory's own file."""
        return directory_record.read_record(at)

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state in the directory's own file."""
        return directory_record.read_training(at)

    def verify(self, at: Location) -> None:
        """Check every file against its digest."""
        directory_record.verify(at)

    def may_replace(self, at: Location) -> bool:
        """Return True if an older checkpoint of this format, an empty directory or nothing is there."""
        return at.kind is None or directory_record.is_checkpoint(at, self.markers)
