"""Directories in a bucket: their files lie below the name of a version, and one object says which version is there.

    model-07/lastgood.commit                   {"version": "1764250000000000000"}
    model-07/1764250000000000000/lastgood.json …

So a directory appears whole, is replaced whole, and vanishes whole, by one request. A version's name is the time at
which it was begun, in nanoseconds: whoever downloads the directory finds one with numbered steps in it, as Orbax's are.
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
    """What is there of a directory.

    Attributes:
        name: The version's name.
        commit: The object that says so.
    """

    name: str
    commit: Object


class Versions:
    """The directories of one bucket; which version was there last is remembered, and asked again where it is gone."""

    def __init__(self, bucket: Bucket) -> None:
        """Know of none yet."""
        self._bucket = bucket
        self._known: dict[str, str] = {}
        self._plain: set[str] = set()  # directories that were seen to be no checkpoints
        self._lock = threading.Lock()

    def find(self, directory: str) -> Version | None:
        """Return what is there of a directory; None if it is none, or one that is no checkpoint.

        Raises:
            OSError: The store failed, or the object that says so says nothing.
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
            raise OSError(f"{self._bucket.url_of(f'{directory}/{COMMIT}')!r} does not say which version is there")
        self._know(directory, name)
        return Version(name, commit)

    def _know(self, directory: str, name: str) -> None:
        self._known[directory] = name
        self._plain.discard(directory)

    def is_known(self, directory: str) -> bool:
        """Tell whether a directory was there when it was last asked for."""
        return directory in self._known

    def real(self, key: str, *, itself: bool = True) -> str:
        """Return the key at which a file or directory lies: in the version that is there, if it is of a checkpoint.

        Args:
            key: The key, as users have it.
            itself: Whether it may be the directory itself that has versions.
        """
        for directory in _above(key, itself=itself):
            if directory in self._known:
                return f"{directory}/{self._known[directory]}{key.removeprefix(directory)}"
        return key

    def look_again(self, key: str, tried: str) -> bool:
        """Ask for the versions of the directories above a key; return whether it lies elsewhere than was tried."""
        for directory in _above(key, itself=False):
            if directory not in self._plain and self.find(directory) is not None:
                break
        return self.real(key, itself=False) != tried

    def commit(self, directory: str, name: str, *, conditional: bool) -> None:
        """Have a version be the one that is there, and remove the one whose place it takes.

        Args:
            directory: The directory's key.
            name: The version, whose files are there.
            conditional: Whether the store takes conditions.

        Raises:
            OSError: The store failed; the version before it is still there.
        """
        content = json.dumps({"version": name}).encode()
        with self._lock:
            for _ in range(_TRIES):
                before = self.find(directory)
                if before is not None and before.name == name:
                    return  # the answer to the request before was lost
                if self._put(directory, content, before, conditional=conditional):
                    break
            else:
                raise OSError(f"others have saved to {self._bucket.url_of(directory)!r} all the time")
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
        """Remove the files of a version that is not there any more, or never was.

        Raises:
            OSError: The store failed.
        """
        self._bucket.delete([each.key for each in self._bucket.below(f"{directory}/{name}")])

    def discard(self, directory: str) -> None:
        """Remove a directory: it vanishes with its first object.

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
    """Tell whether a name is one of a version."""
    return _VERSION.fullmatch(name) is not None


def begun(name: str) -> float:
    """Return when a version was begun, in seconds since 1970."""
    return int(name) / 1e9


def _above(key: str, *, itself: bool = True) -> Iterator[str]:
    """Yield a key and those above it, the longest first."""
    parts = PurePosixPath(key).parts
    for count in range(len(parts) - (not itself), 0, -1):
        yield "/".join(parts[:count])
