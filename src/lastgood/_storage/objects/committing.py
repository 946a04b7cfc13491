"""The commit of a stage: data first, then the one request that makes it a checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..._errors import StoreError
from ..._threads import spread
from .. import groups
from . import keys
from .bucket import Bucket, Tag
from .stage import ObjectStage
from .versions import Versions

_AT_ONCE = 8
_LAST = 1024


class Commit:
    """The commit of a stage when its block ends."""

    def __init__(
        self, bucket: Bucket, versions: Versions, stage: ObjectStage, key: str, version: str, *, conditional: bool
    ) -> None:
        """Prepare a commit.

        Args:
            bucket: The bucket to commit to.
            versions: The directories of that bucket.
            stage: The stage.
            key: The key of the checkpoint.
            version: Its version, if it is a directory.
            conditional: Whether the store supports conditional writes.
        """
        self._bucket = bucket
        self._versions = versions
        self._stage = stage
        self._key = key
        self._version = version
        self._conditional = conditional

    def run(self, check: Callable[[], None]) -> None:
        """Make the checkpoint visible; when this returns, the store has confirmed it.

        Args:
            check: Raises if this process may not commit.

        Raises:
            OSError: The store failed, or this process may not commit; the previous checkpoint is still there.
        """
        names = self._stage.files()
        if not names:
            raise FileNotFoundError(f"nothing was written for {self._bucket.url_of(self._key)!r}")
        if names == [""]:
            check()
            self._send("", self._key)
        elif groups.INDEX in names:
            self._commit_group(names, check)
        else:
            self._commit_directory(names, check)

    def _commit_directory(self, names: Sequence[str], check: Callable[[], None]) -> None:
        place = f"{self._key}/{self._version}"
        try:
            self._send_files(names, place)
            check()
            self._versions.commit(self._key, self._version, conditional=self._conditional)
        except BaseException:
            self._remove_version()
            raise

    def clear(self) -> None:
        """Remove what other processes have added, unless it was committed."""
        if self._stage.is_shared:
            with suppress(OSError):
                self._remove_version()

    def _remove_version(self) -> None:
        found = self._versions.find(self._key)
        if found is None or found.name != self._version:
            self._versions.remove(self._key, self._version)

    def add(self) -> None:
        """Send all files of a directory that another process commits.

        Raises:
            OSError: The store failed.
        """
        self._send_files(self._stage.files(), f"{self._key}/{self._version}")

    def _send_files(self, names: Sequence[str], place: str) -> None:
        spread(lambda some: self._send_all(some, place), names, max(1, min(_AT_ONCE, len(names))))
        self._check_all(place, names)

    def _send_all(self, names: Sequence[str], place: str) -> None:
        for name in names:
            self._send(name, f"{place}/{name}")

    def _check_all(self, place: str, names: Sequence[str]) -> None:
        """Check that the store has all files, at their full length.

        Raises:
            OSError: One is missing, or has another length.
        """
        there = {each.key.removeprefix(f"{place}/"): each.size for each in self._bucket.below(place)}
        expected = {name: self._stage.size_of(name) for name in names}
        expected |= {name: length for name, (length, _) in self._stage.elsewhere.items()}
        wrong = next((name for name, length in expected.items() if there.get(name) != length), None)
        if wrong is not None:
            raise StoreError(None, "The store confirmed this file, but does not hold all of it", f"{place}/{wrong}")

    def _commit_group(self, names: Sequence[str], check: Callable[[], None]) -> None:
        """Send the parts, which lie beside the existing ones, and then the index."""
        parts = [name for name in names if name != groups.INDEX]
        old = group_parts(self._bucket, self._key)
        new = {self._key + name for name in parts}
        if new & set(old):
            raise OSError(f"another process has saved to {self._bucket.url_of(self._key)!r} meanwhile")
        sent: list[str] = []
        try:
            for name in parts:
                self._send(name, self._key + name, new=self._conditional)
                sent.append(self._key + name)
            check()
            self._send(groups.INDEX, self._key + groups.INDEX)
        except BaseException:
            self._bucket.delete(sent)
            raise
        self._bucket.delete(old)

    def _send(self, name: str, key: str, *, new: bool = False) -> None:
        """Send a file, and check that the store has it."""
        with self._unless_it_is_there(name, key):
            if name in self._stage.uploads:
                tag = self._stage.uploads[name].complete()
            else:
                tag = self._bucket.put(key, self._stage.content(name), new=new)
            self._check_sent(name, key, tag)

    @contextmanager
    def _unless_it_is_there(self, name: str, key: str) -> Iterator[None]:
        """Ignore an error if the store has what was sent: only the answer may have been lost."""
        try:
            yield
        except OSError as error:
            try:
                is_there = self._is_there(name, key)
            except OSError:
                is_there = False
            if not is_there:
                raise error from error.__cause__

    def _is_there(self, name: str, key: str) -> bool:
        with self._stage.open(name) as file:
            size, last = file.size, file.read(max(0, file.size - _LAST), min(_LAST, file.size))
        found, content = self._bucket.read(key, _LAST)
        return found.size == size and content[len(content) - len(last) :] == last

    def _check_sent(self, name: str, key: str, tag: Tag | None) -> None:
        """Read back the end of a file that was sent: a checkpoint's record is there."""
        if not self._is_there(name, key) and self._bucket.head(key).tag == tag:
            raise StoreError(None, "The store does not hold what was sent", self._bucket.url_of(key))


def group_parts(bucket: Bucket, key: str) -> list[str]:
    """Return the keys of a group's data files."""
    directory, name = keys.parent(key), keys.name(key)
    objects, _ = bucket.children(directory)
    names = (keys.name(each.key) for each in objects)
    return [
        keys.join(directory, each)
        for each in names
        if groups.is_member(each, name) and not each.endswith(groups.INDEX)
    ]  # fmt: skip
