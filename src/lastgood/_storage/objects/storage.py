"""The storage of checkpoints in buckets, for one URL scheme."""

import contextlib
import errno
import json
import os
import secrets
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..._threads import in_forked_children, spread
from .. import groups
from ..base import TEMPORARY_PREFIX, Claim, Entry, EventLog, Info, Stage, Storage, StoredFile, file_path, unreported
from ..scratch import scratch_directory
from ..stages import LocalStage
from . import keys, unfinished, urls
from .bucket import Bucket, Object
from .claims import Claims, NoClaim
from .clients import client_of
from .committing import Commit, group_parts
from .file import ObjectFile
from .log import ObjectEventLog
from .owner import this_process
from .stage import ObjectStage
from .versions import COMMIT, Versions, is_version, new_version

_AT_ONCE = 8
_ENOUGH = 1000  # objects of a directory that is not a checkpoint; one listing request returns this many
_storages: "weakref.WeakSet[ObjectStorage]" = weakref.WeakSet()

Connect = Callable[[str, bool], Any]
"""Returns an obstore client for a bucket; the second argument says whether it is patient."""


class _Place:
    """One bucket, with everything that this process knows about it and holds in it."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.versions = Versions(bucket)
        self.claims = Claims(bucket)
        self.logs: dict[str, ObjectEventLog] = {}
        self.sending: set[str] = set()
        self.conditional: bool | None = None

    def takes_conditions(self, directory: str) -> bool:
        """Return whether the store supports conditional writes, tested once below a directory; leave nothing there."""
        if self.conditional is None:
            self.try_out(directory)
        return bool(self.conditional)

    def try_out(self, directory: str) -> None:
        """Test whether objects can be written below a directory.

        Raises:
            OSError: They cannot be written.
        """
        key = keys.join(directory, f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.probe")
        self.conditional = self.bucket.try_out(key, json.dumps(this_process().to_json()).encode())


class ObjectStorage(Storage):
    """Objects reached by URL: ``scheme://bucket/key``. Paths are ``/bucket/key``."""

    answers_at_once = False
    reads_at_once = 32

    def __init__(self, scheme: str, connect: Connect | None = None) -> None:
        """Create the storage; nothing is connected yet.

        Args:
            scheme: The scheme of the URLs.
            connect: Returns a client for a bucket; by default, that of its cloud.
        """
        self._scheme = scheme
        self._connect = connect or (lambda bucket, patient: client_of(scheme, bucket, patient=patient))
        self._lists_uploads = scheme == "s3" and connect is None
        self._places: dict[str, _Place] = {}
        _storages.add(self)

    def parse(self, text: str) -> PurePosixPath:
        """Return the path that a URL stands for. See :meth:`Storage.parse`."""
        return urls.parse(text)

    def text_of(self, path: PurePath) -> str:
        """Return the URL of a path."""
        return f"{self._scheme}:/{path}"

    def _find(self, path: PurePath) -> tuple[_Place, str]:
        """Return the bucket of a path, and the key in it."""
        name, key = path.parts[1], "/".join(path.parts[2:])
        if name not in self._places:
            self._places[name] = _Place(Bucket(f"{self._scheme}://{name}", partial(self._connect, name)))
        return self._places[name], key

    # Writing

    @contextmanager
    def stage(self, target: PurePath, suffix: str, *, publish: bool = True) -> Iterator[Stage]:
        """Yield a stage that sends files from memory and is committed at the end. See :meth:`Storage.stage`."""
        place, key = self._find(target)
        version = new_version()
        conditional = place.takes_conditions(keys.parent(key)) if publish else False
        stage = ObjectStage(target, suffix, place.bucket if publish else None, key, version, self._names)
        place.sending.add(key)
        commit = Commit(place.bucket, place.versions, stage, key, version, conditional=conditional)
        try:
            yield stage
            if publish and not stage.withdrawn:
                commit.run(lambda: place.claims.check(key))
        finally:
            stage.close()
            commit.clear()
            place.sending.discard(key)

    @contextmanager
    def join(self, target: PurePath, admission: str) -> Iterator[Stage]:
        """Yield a stage for files of a version that another process commits. See :meth:`Storage.join`."""
        place, key = self._find(target)
        stage = ObjectStage(target, "", place.bucket, key, admission, self._names)
        try:
            yield stage
            Commit(place.bucket, place.versions, stage, key, admission, conditional=False).add()
        finally:
            stage.close()

    def _names(self, directory: PurePath) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [entry.name for entry in self.entries(directory)]
        return []

    def put(self, path: PurePath, content: bytes) -> None:
        """Write a small object. See :meth:`Storage.put`."""
        place, key = self._find(path)
        place.bucket.put(place.versions.real(key), content)

    def reclaim(self, directory: PurePath, owns: Callable[[str], bool] | None = None) -> Sequence[PurePath]:
        """Remove what was never committed, and abort what was never completed. See :meth:`Storage.reclaim`."""
        place, key = self._find(directory)
        owned = owns if owns is not None and place.claims.covers(key) else _nobody_owns
        found = list(unfinished.remove_objects(place.bucket, place.versions, key, owned))
        if self._lists_uploads:
            found += unfinished.abort_uploads(directory.parts[1], key, owned, place.sending)
        return [PurePosixPath("/", directory.parts[1], each) for each in found]

    def discard(self, path: PurePath) -> None:
        """Remove a checkpoint, if it is there. See :meth:`Storage.discard`."""
        place, key = self._find(path)
        place.claims.check(key)
        try:
            kind = self.info(path).kind
        except FileNotFoundError:
            return
        if kind == "file":
            place.bucket.delete([place.versions.real(key)])
        elif kind == "group":
            place.bucket.delete([key + groups.INDEX])
            place.bucket.delete(group_parts(place.bucket, key))
        else:
            place.versions.discard(key)

    def rename(self, path: PurePath, target: PurePath) -> None:
        """Copy a checkpoint within the store, and remove the original. See :meth:`Storage.rename`."""
        place, key = self._find(path)
        _, to = self._find(target)
        names = self.files(path)
        if self.info(path).kind == "directory":
            version, old = new_version(), place.versions.real(key)
            _copy(place, [(f"{old}/{name}", f"{to}/{version}/{name}") for name in names])
            place.versions.commit(to, version, conditional=place.takes_conditions(keys.parent(to)))
        else:
            pairs = [(key + name, to + name) for name in names]
            _copy(place, [pair for pair in pairs if not pair[0].endswith(groups.INDEX)])
            _copy(place, [pair for pair in pairs if pair[0].endswith(groups.INDEX)])
        self.discard(path)

    def check_writable(self, directory: PurePath) -> None:
        """Write and remove an object. See :meth:`Storage.check_writable`."""
        place, key = self._find(directory)
        place.try_out(key)

    def limits(self, directory: PurePath, *, swaps: bool) -> Sequence[str]:
        """Return what a store without conditional writes cannot do. See :meth:`Storage.limits`."""
        del swaps
        place, key = self._find(directory)
        if place.takes_conditions(key):
            return ()
        return (
            "It does not support conditional writes, so lastgood cannot detect trainings on other machines that save "
            "to the same files, and events that two processes note at once may be lost.",
        )

    def free_space(self, directory: PurePath) -> int | None:
        """Return None: buckets have no size limit."""
        del directory
        return None

    # Reading

    def info(self, path: PurePath) -> Info:
        """Return what is at ``path``. See :meth:`Storage.info`."""
        place, key = self._find(path)
        while True:
            real = place.versions.real(key, itself=False)
            found = _info_inside(place, real) if real != key else _info_of(place, key)
            if found is not None:
                return found
            if not place.versions.look_again(key, real):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(path))

    def size(self, path: PurePath) -> int:
        """Return the bytes of all files of a checkpoint; for a directory, one listing returns them."""
        info = self.info(path)
        if info.kind != "directory":
            return super().size(path)
        place, key = self._find(path)
        return sum(each.size for each in place.bucket.below(place.versions.real(key)))

    def entries(self, directory: PurePath) -> Sequence[Entry]:
        """Return what lies in ``directory``, with the metadata from the listing. See :meth:`Storage.entries`."""
        place, key = self._find(directory)
        empty = ""  # a version without a file: it is being removed, since another has replaced it
        while True:
            real = place.versions.real(key, itself=False)
            objects, below = _listed(place, real)
            has_versions = any(keys.name(each.key) == COMMIT for each in objects)
            version = place.versions.find(key) if has_versions else None
            if version is not None:
                objects, below = place.bucket.children(f"{key}/{version.name}")
            if objects or below:
                files = [Entry(keys.name(each.key), "file", info=_info("file", each)) for each in objects]
                return files + [Entry(keys.name(each), "directory") for each in below]
            if version is not None and version.name != empty:
                empty = version.name
            elif not place.versions.look_again(key, real):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text_of(directory))

    def open(self, path: PurePath) -> StoredFile:
        """Open an object. See :meth:`Storage.open`."""
        place, key = self._find(path)
        while True:
            real = place.versions.real(key, itself=False)
            try:
                return ObjectFile(place.bucket, real)
            except FileNotFoundError:
                if not place.versions.look_again(key, real):
                    raise

    def files(self, path: PurePath) -> Sequence[str]:
        """Return the names of a checkpoint's files. See :meth:`Storage.files`."""
        place, key = self._find(path)
        kind = self.info(path).kind
        if kind == "file":
            return [""]
        if kind == "group":
            return sorted([groups.INDEX, *(part.removeprefix(key) for part in group_parts(place.bucket, key))])
        real = place.versions.real(key)
        return sorted(each.key.removeprefix(f"{real}/") for each in place.bucket.below(real))

    def is_link(self, path: PurePath) -> bool:
        """Return False: there are no links in a bucket."""
        del path
        return False

    def is_inside(self, path: PurePath, name: str) -> bool:
        """Return True if a checkpoint has a file of that name: there are no links in a bucket."""
        place, key = self._find(file_path(path, self.info(path).kind, name))
        try:
            place.bucket.head(place.versions.real(key))
        except FileNotFoundError:
            return False
        return True

    def check_plain(self, path: PurePath) -> None:
        """Accept everything: there is nothing but objects in a bucket."""

    @contextmanager
    def local(self, path: PurePath) -> Iterator[Path]:
        """Yield a copy in a scratch directory. See :meth:`Storage.local`."""
        with scratch_directory() as scratch:
            copy, kind = LocalStage(scratch / path.name, path), self.info(path).kind
            names = self.files(path)

            def fetch(some: Sequence[str]) -> None:
                for name in some:
                    with self.open(file_path(path, kind, name) if name else path) as file:
                        copy.take(name, file, unreported)

            spread(fetch, names, min(_AT_ONCE, max(1, len(names))))
            yield copy.path

    # Runs

    def claim(self, directory: PurePath, template: str, user: Any, *, leave_lock: bool) -> Claim:
        """Claim the paths of a template with a lease in the bucket. See :meth:`Storage.claim`."""
        place, key = self._find(directory)
        if not leave_lock or not place.takes_conditions(key):
            return NoClaim()
        return place.claims.take(key, template, user)

    def event_log(self, directory: PurePath) -> EventLog:
        """Return the log of a run. See :meth:`Storage.event_log`."""
        place, key = self._find(directory)
        if key not in place.logs:
            place.logs[key] = ObjectEventLog(place.bucket, key, conditional=lambda: place.takes_conditions(key))
        return place.logs[key]

    def forget(self) -> None:
        """Drop all claims in a forked child: they belong to the parent."""
        for place in self._places.values():
            place.claims.forget()


def _copy(place: _Place, pairs: Sequence[tuple[str, str]]) -> None:
    """Copy objects from one key to another, several at once."""

    def copy(some: Sequence[tuple[str, str]]) -> None:
        for old, new in some:
            place.bucket.copy(old, new)

    spread(copy, pairs, min(_AT_ONCE, max(1, len(pairs))))


def _info_of(place: _Place, key: str) -> Info | None:
    """Return what is at a key; try the likeliest kind first, since each costs a request."""
    if not key:
        return _info_of_plain(place, key)
    asked = [partial(_info_of_file, place, key), partial(_info_of_version, place, key)]
    if place.versions.is_known(key):
        asked.reverse()
    for ask in [*asked, partial(_info_of_file, place, key, groups.INDEX), partial(_info_of_plain, place, key)]:
        found = ask()
        if found is not None:
            return found
    return None


def _info_inside(place: _Place, real: str) -> Info | None:
    """Return what is at a key in a version."""
    return _info_of_file(place, real) or _info_of_plain(place, real)


def _info_of_file(place: _Place, key: str, ending: str = "") -> Info | None:
    try:
        return _info("group" if ending else "file", place.bucket.head(key + ending))
    except FileNotFoundError:
        return None


def _info_of_version(place: _Place, key: str) -> Info | None:
    version = place.versions.find(key)
    return None if version is None else _info("directory", version.commit)


def _info_of_plain(place: _Place, key: str) -> Info | None:
    first = list(islice(_visible(place, key), _ENOUGH))
    if not first:
        return None
    newest = max(each.modified for each in first).timestamp()
    return Info("directory", 0, int(newest * 1e9), hash(tuple(first)))


def _visible(place: _Place, key: str) -> Iterator[Object]:
    """Yield the objects below a key, without versions: only a commit makes one visible."""
    for each in place.bucket.below(key):
        if not is_version(keys.relative(each.key, key).partition("/")[0]):
            yield each


def _listed(place: _Place, key: str) -> tuple[list[Object], list[str]]:
    """Return what lies directly below a key, without versions: only a commit makes one visible."""
    objects, below = place.bucket.children(key)
    return objects, [each for each in below if not is_version(keys.name(each))]


def _info(kind: Any, found: Object) -> Info:
    modified = int(found.modified.timestamp() * 1e9)
    return Info(kind, found.size if kind != "directory" else 0, modified, (found.tag.text, modified, found.size))


def _nobody_owns(name: str) -> bool:
    del name
    return False


def _forget() -> None:
    for storage in list(_storages):
        storage.forget()


in_forked_children(_forget)
