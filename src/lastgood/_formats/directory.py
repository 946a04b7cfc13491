"""Checkpoints that are directories; their record is a file in the directory."""

from collections.abc import Collection
from typing import ClassVar

from .._bytes import directory_record
from .._record import Record
from .._storage import Location
from .._storage.base import Kind
from .base import Format


class DirectoryFormat(Format):
    """A directory that contains certain files, ``lastgood.json`` and ``lastgood.training``.

    Attributes:
        markers: Names that every such directory contains.
    """

    markers: ClassVar[set[str]]

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if the directory contains the markers, or is empty."""
        return kind == "directory" and not at.is_link() and (not names or cls.markers <= set(names))

    def read_record(self, at: Location) -> Record | None:
        """Return the record in ``lastgood.json``."""
        return directory_record.read_record(at)

    def read_training(self, at: Location) -> bytes | None:
        """Return the training state in ``lastgood.training``."""
        return directory_record.read_training(at)

    def verify(self, at: Location) -> None:
        """Check every file against its digest."""
        directory_record.verify(at)

    def may_replace(self, at: Location) -> bool:
        """Return True if an older checkpoint of this format, an empty directory or nothing is there."""
        return at.kind is None or directory_record.is_checkpoint(at, self.markers)
