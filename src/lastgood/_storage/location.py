"""A path in a storage: what the rest of the package opens, lists and reads."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

from .._errors import StoreError
from .base import Entry, Info, Kind, Storage, StoredFile, file_path


@dataclass(frozen=True, order=True)
class Location:
    """A path, and the storage that it is in.

    Attributes:
        path: The path.
        storage: The storage.
    """

    path: PurePath
    storage: Storage = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.storage.text_of(self.path)

    def __fspath__(self) -> str:
        return str(self)

    def __truediv__(self, name: str | PurePath) -> "Location":
        return Location(self.path / name, self.storage)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def parent(self) -> "Location":
        """The directory that contains it."""
        return Location(self.path.parent, self.storage)

    def with_name(self, name: str) -> "Location":
        """Return the location of another name in the same directory."""
        return Location(self.path.with_name(name), self.storage)

    def below(self, base: Path | None) -> "Location":
        """Return a relative local path joined to ``base``; return any other location unchanged."""
        if base is None or not isinstance(self.path, Path):
            return self
        return Location(base / self.path, self.storage)

    def is_link(self) -> bool:
        """Return True if it is a symbolic link itself."""
        return self.storage.is_link(self.path)

    @property
    def kind(self) -> Kind | None:
        """The kind of checkpoint there; None if there is none.

        Raises:
            StoreError: The request to a bucket failed.
        """
        try:
            return self.info().kind
        except StoreError:
            raise
        except OSError:
            return None

    def info(self) -> Info:
        """Return what is there. See :meth:`Storage.info`."""
        return self.storage.info(self.path)

    def entries(self) -> Sequence[Entry]:
        """Return its entries. See :meth:`Storage.entries`."""
        return self.storage.entries(self.path)

    def open(self, name: str = "") -> StoredFile:
        """Open the file or, if the checkpoint has several files, the one called ``name``."""
        return self.storage.open(self.file(name).path if name else self.path)

    def file(self, name: str) -> "Location":
        """Return the location of a file of the checkpoint, given its name in the checkpoint. See :class:`Stage`."""
        return Location(file_path(self.path, self.info().kind, name), self.storage)

    def read(self, longest: int) -> bytes:
        """Return the contents of a file.

        Raises:
            OSError: There is no file, or it is longer than ``longest`` bytes.
        """
        with self.open() as file:
            if file.size > longest:
                raise OSError(f"{str(self)!r} is longer than {longest} bytes")
            return file.read(0, file.size)

    def files(self) -> Sequence[str]:
        """Return the names of the files that make up the checkpoint. See :meth:`Storage.files`."""
        return self.storage.files(self.path)

    def size(self) -> int:
        """Return the total size of the checkpoint's files in bytes.

        Raises:
            OSError: There is no checkpoint.
        """
        return self.storage.size(self.path)

    def local(self) -> AbstractContextManager[Path]:
        """Give a local path to the checkpoint. See :meth:`Storage.local`."""
        return self.storage.local(self.path)

    def public(self) -> "Path | Location":
        """Return what users get: a :class:`pathlib.Path` if it is in the file system, else the location itself."""
        return self.path if isinstance(self.path, Path) else self


class Seen(NamedTuple):
    """A location that was found in a listing.

    Attributes:
        at: The location.
        listed: What the listing says about it; None if that needs a separate query.
    """

    at: Location
    listed: Info | None = None

    def info(self) -> Info:
        """Return what is there.

        Raises:
            OSError: It no longer exists, or the storage failed.
        """
        return self.listed or self.at.info()


def working_directory() -> Path | None:
    """Return the directory that relative paths start from; None if it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None
