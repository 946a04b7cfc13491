"""The stage of a save to a bucket: files being uploaded, and small or local files that are still to be sent."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath

from ..base import Image, Report, Stage, StoredFile
from ..in_memory import Again, MemoryFile
from ..scratch import scratch_directory
from ..stages import LocalStage
from .bucket import Bucket
from .upload import Upload


class ObjectStage(Stage):
    """A checkpoint being uploaded. Large files are sent from memory; only a writer that needs a path gets a local one.

    Attributes:
        target: Where the checkpoint will appear.
        suffix: The ending of the local path.
        is_shared: Whether other processes may have added files.
        small: Contents of small files, by name.
        uploads: Files that have been sent, by name.
    """

    def __init__(
        self,
        target: PurePath,
        suffix: str,
        bucket: Bucket | None,
        key: str,
        version: str,
        names: Callable[[PurePath], Sequence[str]],
    ) -> None:
        """Create an empty stage.

        Args:
            target: Where the checkpoint will appear.
            suffix: The ending that a writer needs in a local path.
            bucket: The bucket to send files to; None to send nothing, because another process does.
            key: The key of the checkpoint.
            version: Its version, if it is a directory.
            names: Returns the names in a directory.
        """
        self.target = target
        self.suffix = suffix
        self.is_shared = False
        self._version = version
        self.small: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self._bucket = bucket
        self._key = key
        self._names = names
        self._scratch: AbstractContextManager[Path] | None = None
        self._local: LocalStage | None = None

    @property
    def path(self) -> Path:
        """A path in a scratch directory, which is created when you first ask for it."""
        return self._local_stage().path

    def _local_stage(self) -> LocalStage:
        if self._local is None:
            self._scratch = scratch_directory()
            self._local = LocalStage(self._scratch.__enter__() / f"checkpoint{self.suffix}", self.target)
        return self._local

    def write(self, name: str, content: bytes) -> None:
        """Keep a small file. See :meth:`Stage.write`."""
        self.small[name] = content

    def write_image(self, name: str, image: Image, report: Report) -> None:
        """Send a file from memory. See :meth:`Stage.write_image`.

        This waits until the image is complete: some digests lie before the bytes that they cover.
        """
        image.wait_for(image.body.stop)
        size, _ = image.seal()
        self.take(name, MemoryFile(name, image.memory[:size].data), report)

    def take(self, name: str, content: StoredFile, report: Report) -> None:
        """Send an open file. See :meth:`Stage.take`."""
        upload = self.uploads[name] = Upload(self._bucket, self._key_of(name), content)
        upload.send(report)

    def _key_of(self, name: str) -> str:
        return f"{self._key}/{self._version}/{name}" if name else self._key

    def admit(self) -> str:
        """Return the version that is being written. See :meth:`Stage.admit`."""
        self.is_shared = True
        return self._version

    def files(self) -> list[str]:
        """Return the names of the files that this process has written so far."""
        local = self._local.files() if self._local is not None else []
        return sorted({*local, *self.small, *self.uploads})

    def open(self, name: str) -> StoredFile:
        """Open a file that was written."""
        if name in self.uploads:
            return Again(self.uploads[name].content)
        if name in self.small:
            return MemoryFile(name, self.small[name])
        return self._local_stage().open(name)

    def beside(self) -> Sequence[str]:
        """Return the names that lie in the target's directory."""
        return self._names(self.target.parent)

    def size(self) -> int:
        """Return the bytes written so far."""
        added = sum(length for length, _ in self.elsewhere.values())
        return added + sum(self.size_of(name) for name in self.files())

    def size_of(self, name: str) -> int:
        """Return the length of a file that was written."""
        with self.open(name) as file:
            return file.size

    def content(self, name: str) -> bytes | Path:
        """Return the contents of a file that has not been sent, or its local path."""
        return self.small[name] if name in self.small else self._local_stage().place(name)

    def close(self) -> None:
        """Abandon incomplete uploads and remove the scratch directory."""
        for upload in self.uploads.values():
            upload.abandon()
        if self._scratch is not None:
            self._scratch.__exit__(None, None, None)
