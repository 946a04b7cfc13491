"""One bucket: the requests that checkpoints need. Failures are ``OSError``, with the URL and what to do."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ..._errors import StoreError
from .clients import library
from .failures import bare, not_found, store_error

T = TypeVar("T")
# A bucket takes 10,000 parts per upload.
_PART = 8 * 1024 * 1024
_MOST_PARTS = 9_000
_AT_ONCE = 6
_ONE_REQUEST = 1 << 30  # a conditional write is one request, and not all stores take more than this in one
_LISTED = 1000  # objects that a store lists in one answer
_PAUSES = (0.1, 0.5, 2.0)  # seconds


@dataclass(frozen=True)
class Tag:
    """What a store calls the contents of an object; two tags are equal if they have the same text.

    Attributes:
        text: The entity tag, which changes with the contents.
        version: The version, if the store numbers them. Google Cloud Storage does, and its conditions name it.
    """

    text: str
    version: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Tag":
        """Return the tag from a client's answer."""
        return cls((answer["e_tag"] or "").strip('"'), answer["version"])

    @property
    def condition(self) -> dict[str, str]:
        """The condition that an object still has these contents."""
        return {"e_tag": f'"{self.text}"', **({} if self.version is None else {"version": self.version})}


@dataclass(frozen=True)
class Object:
    """The metadata of an object.

    Attributes:
        key: Its key.
        size: Its length in bytes.
        modified: When it was written, by the store's clock.
        tag: Its tag.
    """

    key: str
    size: int
    modified: datetime
    tag: Tag

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "Object":
        """Return the metadata from a client's answer."""
        return cls(meta["path"], meta["size"], meta["last_modified"], Tag.of(meta))


class ChangedError(OSError):
    """An object is no longer the one that the request was about."""


class Bucket:
    """The requests to one bucket.

    Attributes:
        url: Its URL.
    """

    def __init__(self, url: str, connect: Callable[[bool], Any]) -> None:
        """Create the bucket's requests; nothing is sent yet.

        Args:
            url: Its URL.
            connect: Returns a client; the argument says whether the client is patient.
        """
        self.url = url
        self._connect = connect
        self._process = os.getpid()
        self._has_answered = False

    @cached_property
    def _patient(self) -> Any:
        return self._connect(True)

    @cached_property
    def _quick(self) -> Any:
        return self._connect(False)

    @property
    def _client(self) -> Any:
        """The client, patient once the store has answered; until then, a wrong URL must fail while you are watching."""
        return self._patient if self._has_answered else self._quick

    def url_of(self, key: str) -> str:
        """Return the URL of an object."""
        return f"{self.url}/{key}"

    def head(self, key: str) -> Object:
        """Return the metadata of an object.

        Raises:
            OSError: It does not exist, or the store failed.
        """
        with self._request(key) as obstore:
            return Object.of(obstore.head(self._client, key))

    def get(self, key: str, start: int = 0, stop: int | None = None, tag: Tag | None = None) -> bytes:
        """Return the bytes of an object from ``start`` to ``stop``.

        Raises:
            ChangedError: It has another tag.
            OSError: It does not exist, or the store failed.
        """
        options: dict[str, Any] = {} if stop is None else {"range": (start, stop)}
        if tag and tag.text:
            options["if_match"] = f'"{tag.text}"'
        with self._request(key) as obstore:
            return bytes(obstore.get(self._client, key, options=options or None).bytes())

    def read(self, key: str, longest: int) -> tuple[Object, bytes]:
        """Return the metadata of an object and its last ``longest`` bytes, or all bytes if the store sends no ranges.

        Raises:
            OSError: It does not exist, or the store failed.
        """
        with self._request(key) as obstore:
            try:
                result = obstore.get(self._client, key, options={"range": {"suffix": longest}})
                return Object.of(result.meta), bytes(result.bytes())
            except (obstore.exceptions.GenericError, obstore.exceptions.NotSupportedError):
                found = Object.of(obstore.head(self._client, key))  # it is empty, or the store has no suffix ranges
                start = max(0, found.size - longest)
                return found, self._range(obstore, key, start, found.size) if found.size else b""

    def _range(self, obstore: Any, key: str, start: int, stop: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._client, key, start=start, end=stop))
        except obstore.exceptions.GenericError as error:
            if "non-partial" not in str(error):
                raise
            return bytes(obstore.get(self._client, key).bytes())

    def put(
        self, key: str, content: bytes | memoryview | Path, *, new: bool = False, instead_of: Tag | None = None
    ) -> Tag:
        """Write an object in one act; return its tag.

        Args:
            key: Its key.
            content: Its bytes, or the file that holds them.
            new: Whether the object must not exist yet; a file too large for one request replaces it all the same.
            instead_of: The tag of the object that it must replace.

        Raises:
            FileExistsError: The object exists.
            ChangedError: The object to replace has another tag.
            OSError: The store failed.
        """
        mode: Any = "create" if new else "overwrite"
        if instead_of is not None:
            mode = instead_of.condition
        return whole(lambda: self._put(key, content, mode))

    def _put(self, key: str, content: bytes | memoryview | Path, mode: Any) -> Tag:
        options: dict[str, Any] = {"mode": mode}
        if isinstance(content, Path):
            size = content.stat().st_size
            in_one = size <= _ONE_REQUEST and mode != "overwrite"
            options = {**options, "use_multipart": False} if in_one else {"chunk_size": part_size(size)}
        with self._request(key) as obstore:
            return Tag.of(obstore.put(self._client, key, content, **options))

    def upload(self, key: str, parts: Iterable[memoryview], size: int) -> Tag:
        """Write an object from parts in memory, several at a time; it appears once ``parts`` ends.

        Nothing is copied: the memory must not change until this returns. An exception in ``parts`` ends the upload.

        Raises:
            OSError: The store failed.
        """
        with self._request(key) as obstore:
            put = obstore.put(self._client, key, parts, chunk_size=part_size(size), max_concurrency=_AT_ONCE)
            return Tag.of(put)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, if they exist.

        Raises:
            OSError: The store failed.
        """
        if keys:
            whole(lambda: self._delete(keys))

    def _delete(self, keys: Sequence[str]) -> None:
        with self._request(keys[0]) as obstore:
            try:
                obstore.delete(self._client, keys)
            except FileNotFoundError:
                for key in keys:  # another process removes them too
                    with suppress(FileNotFoundError):
                        obstore.delete(self._client, key)

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the bucket.

        Raises:
            OSError: The store failed.
        """
        with self._request(key) as obstore:
            obstore.copy(self._client, key, to)

    def children(self, key: str) -> tuple[list[Object], list[str]]:
        """Return the objects directly below a key, and the keys directly below it that have objects below them.

        Raises:
            OSError: The store failed.
        """

        def ask() -> Any:
            with self._request(key) as obstore:
                return obstore.list_with_delimiter(self._client, prefix=key)

        found = whole(ask)
        return [Object.of(each) for each in found["objects"]], list(found["common_prefixes"])

    def below(self, key: str) -> Iterator[Object]:
        """Yield all objects below a key, in order.

        Raises:
            OSError: The store failed.
        """
        last: str | None = None
        while True:

            def ask(after: str | None = last) -> Any:
                with self._request(key) as obstore:
                    return next(obstore.list(self._client, prefix=key, offset=after, chunk_size=_LISTED), [])

            found = whole(ask)
            yield from map(Object.of, found)
            if len(found) < _LISTED:
                return
            last = found[-1]["path"]

    def try_out(self, key: str, content: bytes) -> bool:
        """Write and remove an object; return whether the store supports conditional writes.

        Args:
            key: A key that nothing else uses.
            content: Names this process, for whoever finds the object if the process dies meanwhile.

        Raises:
            OSError: Objects cannot be written or removed.
        """
        with self._request(key) as obstore:
            obstore.put(self._client, key, content, mode="overwrite")
            try:
                obstore.put(self._client, key, content, mode="create")
                conditional = False
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                conditional = True
            except (obstore.exceptions.GenericError, obstore.exceptions.NotSupportedError):
                conditional = False
        self.delete([key])
        return conditional

    @contextmanager
    def _request(self, key: str) -> Iterator[Any]:
        """Yield obstore; turn its exceptions into an OSError.

        Raises:
            OSError: The request failed.
        """
        if os.getpid() != self._process:
            raise OSError(
                errno.ENOTSUP,
                "a forked process cannot use the connections of its parent; start it with 'spawn'",
                self.url_of(key),
            )
        obstore = library(self.url)
        try:
            yield obstore
        except obstore.exceptions.AlreadyExistsError as error:
            self._has_answered = True
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.url_of(key)) from bare(error)
        except (obstore.exceptions.PreconditionError, obstore.exceptions.NotModifiedError) as error:
            self._has_answered = True
            raise ChangedError(errno.ESTALE, "it has been changed meanwhile", self.url_of(key)) from bare(error)
        except FileNotFoundError as error:
            self._has_answered = True
            raise not_found(error, self.url_of(key)) from bare(error)
        except obstore.exceptions.BaseError as error:
            raise store_error(error, self.url_of(key)) from bare(error)
        self._has_answered = True


def whole(ask: Callable[[], T]) -> T:
    """Repeat a request whose answer was cut short; for most requests, the client does this itself.

    Raises:
        OSError: The answer was cut short each time, or the store failed otherwise.
    """
    for pause in _PAUSES:
        try:
            return ask()
        except StoreError as error:
            if "body" not in str(error.strerror):
                raise
            time.sleep(pause)
    return ask()


def part_size(size: int) -> int:
    """Return the length of the parts in which an object of ``size`` bytes is sent."""
    return max(_PART, -(-size // _MOST_PARTS))
