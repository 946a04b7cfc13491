"""The stage that a save is written to before its commit: a temporary path in the local file system."""

import errno
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath

from . import direct, groups
from .base import Image, Report, Stage, StoredFile
from .positioned import LocalFile
from .sharing import Written


class LocalStage(Stage):
    """A stage at a temporary path; the caller that chose the path commits or removes it.

    Attributes:
        target: The path at which the checkpoint will appear.
        shared: The number of bytes that share blocks with an earlier file and were not written again.
    """

    def __init__(
        self, path: Path, target: PurePath, beside: Sequence[str] | None = None, written: Written | None = None
    ) -> None:
        """Initialize the stage.

        Args:
            path: The temporary path.
            target: The path at which the checkpoint will appear.
            beside: The names in the target's directory, if that is not a local one.
            written: Earlier files to share blocks with; None if the files do not stay in this file system.
        """
        self.target = target
        self.shared = 0
        self._path = path
        self._beside = beside
        self._written = written

    @property
    def path(self) -> Path:
        """The temporary path."""
        return self._path

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. See :meth:`Stage.write`."""
        self.make_place(name).write_bytes(content)

    def write_image(self, name: str, image: Image, report: Report) -> None:
        """Write a file from memory. See :meth:`Stage.write_image`."""
        share: direct.Share = direct.alone
        if self._written is not None:
            share = partial(self._written.sharing, image=image, place=Path(self.target, name))
        self.shared += direct.write_file(self.make_place(name), image, report, share)

    def take(self, name: str, content: StoredFile, report: Report) -> None:
        """Write a copy of a file. See :meth:`Stage.take`."""
        written = 0
        with self.make_place(name).open("wb") as file:
            for part in content.parts(0, content.size):
                written += file.write(part)
                report(written)

    def admit(self) -> str:
        """Return the path, which now exists. See :meth:`Stage.admit`."""
        self._path.mkdir(exist_ok=True)
        return os.fspath(self._path.absolute())

    def add(self, files: Mapping[str, tuple[int, int]]) -> None:
        """Note the files that other processes have added. See :meth:`Stage.add`."""
        for name, (length, _) in files.items():
            if self.place(name).stat().st_size != length:
                raise OSError(errno.EIO, "another process wrote this file, and here it has another length", name)
        super().add(files)

    def files(self) -> list[str]:
        """Return the names of the files written so far."""
        return files_of(self._path)

    def open(self, name: str) -> StoredFile:
        """Open a file that was written."""
        return LocalFile(self.place(name))

    def beside(self) -> Sequence[str]:
        """Return the names that lie in the target's directory."""
        return os.listdir(self.target.parent) if self._beside is None else self._beside  # noqa: PTH208

    def size(self) -> int:
        """Return the bytes written so far."""
        return sum(self.place(name).stat().st_size for name in self.files())

    def make_place(self, name: str) -> Path:
        """Return the path of a file, and create its directory."""
        place = self.place(name)
        if name:  # otherwise the directory exists: it holds the save's lock
            place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def place(self, name: str) -> Path:
        """Return the path of a file; in a group, the name is appended to the checkpoint's."""
        if not name:
            return self._path
        return self._path.with_name(self._path.name + name) if groups.is_member(name, "") else self._path / name


class JoinedStage(LocalStage):
    """The stage of another process, which commits what this one adds.

    Attributes:
        added: The paths of the files that this process has added.
    """

    def __init__(self, path: Path, target: PurePath) -> None:
        """Join the stage at a path.

        Raises:
            FileNotFoundError: This process does not see it.
        """
        if not path.is_dir():
            problem = "another process saves in this directory, and this one does not see it: use a shared file system"
            raise FileNotFoundError(errno.ENOENT, problem, os.fspath(path))
        super().__init__(path, target)
        self.added: list[Path] = []

    def make_place(self, name: str) -> Path:
        """Return the path of a file that will be added, and create its directory."""
        self.added.append(super().make_place(name))
        return self.added[-1]


def files_of(path: Path) -> list[str]:
    """Return the names of the files of the checkpoint at ``path``, relative to it, sorted."""
    if path.is_dir():
        return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    if groups.is_group(path):
        return [member.name.removeprefix(path.name) for member in groups.members(path)]
    return [""] if path.exists() else []
