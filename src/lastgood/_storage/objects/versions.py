"""Directories in a bucket: their files lie below the name of a version, and one object names the current version.

    model-07/lastgood.commit                   {"version": "1764250000000000000"}
    model-07/1764250000000000000/lastgood.json …

So one request makes a whole directory appear, be replaced, or vanish. A version's name is the time at which it was
begun, in nanoseconds: a downloaded directory looks like one of Orbax's, with numbered steps.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from .bucket import Bucket, ChangedError, Object

COMMIT = "lastgood.commit"
_VERSION = re.compile(r"\d{18,20}")
_LONGEST = 4096
_TRIES = 50


@dataclass(frozen=True)
class Version:
    """The current version of a directory.

    Attributes:
        name: The version's name.
        commit: The object that names it.
    """

    name: str
    commit: Object


class Versions:
    """The directories of one bucket. Their current versions are remembered, and looked up again once they are gone."""

    def __init__(self, bucket: Bucket) -> None:
        """Start without known versions."""
        self._bucket = bucket
        self._known: dict[str, str] = {}
        self._plain: set[str] = set()  # directories that were found not to be checkpoints
        self._lock = threading.Lock()

    def find(self, directory: str) -> Version | None:
        """Return the current version of a directory; None if it does not exist or is not a checkpoint.

        Raises:
            OSError: The store failed, or the object that names the version is invalid.
        """
        try:
            commit, content = self._bucket.read(f"{directory}/{COMMIT}", _LONGEST)
        except FileNotFoundError:
            self._known.pop(directory, None)
            self._plain.add(directory)
            return None
        try:
            name = json.loads(content)["version"]
        except (ValueError, TypeError, KeyError):
            name = None
        if not isinstance(name, str) or not is_version(name):
            raise OSError(f"{self._bucket.url_of(f'{directory}/{COMMIT}')!r} does not name a version")
        self._know(directory, name)
        return Version(name, commit)

    def _know(self, directory: str, name: str) -> None:
        self._known[directory] = name
        self._plain.discard(directory)

    def is_known(self, directory: str) -> bool:
        """Return whether a directory existed when it was last looked up."""
        return directory in self._known

    def real(self, key: str, *, itself: bool = True) -> str:
        """Return the key where a file or directory lies: in the current version, if it belongs to a checkpoint.

        Args:
            key: The key, as users see it.
            itself: Whether the key itself may be a directory that has versions.
        """
        for directory in _above(key, itself=itself):
            if directory in self._known:
                return f"{directory}/{self._known[directory]}{key.removeprefix(directory)}"
        return key

    def look_again(self, key: str, tried: str) -> bool:
        """Look up the versions of the directories above a key; return whether it lies elsewhere than ``tried``."""
        for directory in _above(key, itself=False):
            if directory not in self._plain and self.find(directory) is not None:
                break
        return self.real(key, itself=False) != tried

    def commit(self, directory: str, name: str, *, conditional: bool) -> None:
        """Make a version the current one, and remove the one that it replaces.

        Args:
            directory: The directory's key.
            name: The version, whose files are already stored.
            conditional: Whether the store supports conditional writes.

        Raises:
            OSError: The store failed; the previous version is still the current one.
        """
        content = json.dumps({"version": name}).encode()
        with self._lock:
            for _ in range(_TRIES):
                before = self.find(directory)
                if before is not None and before.name == name:
                    return  # the previous request succeeded, and only its answer was lost
                if self._put(directory, content, before, conditional=conditional):
                    break
            else:
                raise OSError(f"other processes kept saving to {self._bucket.url_of(directory)!r}")
            self._know(directory, name)
        if before is not None:
            self.remove(directory, before.name)

    def _put(self, directory: str, content: bytes, before: Version | None, *, conditional: bool) -> bool:
        key = f"{directory}/{COMMIT}"
        if not conditional:
            self._bucket.put(key, content)
            return True
        try:
            self._bucket.put(key, content, new=before is None, instead_of=before.commit.tag if before else None)
        except (FileExistsError, ChangedError, FileNotFoundError):
            return False
        return True

    def remove(self, directory: str, name: str) -> None:
        """Remove the files of a version that is not current any more, or never was.

        Raises:
            OSError: The store failed.
        """
        self._bucket.delete([each.key for each in self._bucket.below(f"{directory}/{name}")])

    def discard(self, directory: str) -> None:
        """Remove a directory: it vanishes with its commit object, which is removed first.

        Raises:
            OSError: The store failed.
        """
        self._bucket.delete([f"{directory}/{COMMIT}"])
        self._known.pop(directory, None)
        self._bucket.delete([each.key for each in self._bucket.below(directory)])


def new_version() -> str:
    """Return the name of a new version."""
    return str(time.time_ns())


def is_version(name: str) -> bool:
    """Return whether a name is that of a version."""
    return _VERSION.fullmatch(name) is not None


def begun(name: str) -> float:
    """Return when a version was begun, in seconds since 1970."""
    return int(name) / 1e9


def _above(key: str, *, itself: bool = True) -> Iterator[str]:
    """Yield a key and those above it, longest first."""
    parts = PurePosixPath(key).parts
    for count in range(len(parts) - (not itself), 0, -1):
        yield "/".join(parts[:count])
