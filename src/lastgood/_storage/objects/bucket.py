"""One bucket: the requests that checkpoints need, and their failures as ``OSError``, with the URL and what to do."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ..._errors import StoreError
from .clients import library

T = TypeVar("T")
# A bucket takes 10,000 parts an upload.
_PART = 8 * 1024 * 1024
_MOST_PARTS = 9_000
_AT_ONCE = 6
_ONE_REQUEST = 1 << 30  # conditions go with one request, and no store takes more than this in one for sure
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY")

_LISTED = 1000  # objects that a store lists in one answer
_PAUSES = (0.1, 0.5, 2.0)  # seconds
_SHORTEST_SECRET = 8  # what is shorter keeps nothing secret, and may be part of any word


@dataclass(frozen=True)
class Object:
    """What a bucket says of an object.

    Attributes:
        key: Its key.
        size: Its length in bytes.
        modified: When it was written, by the clock of the store.
        tag: Changes with its contents.
    """

    key: str
    size: int
    modified: datetime
    tag: str

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "Object":
        """Return it from a client's answer."""
        return cls(meta["path"], meta["size"], meta["last_modified"], _tag(meta["e_tag"]))


class ChangedError(OSError):
    """An object is no longer the one that the request was about."""


class Bucket:
    """The requests to one bucket.

    Attributes:
        url: Its URL.
    """

    def __init__(self, url: str, connect: Callable[[bool], Any]) -> None:
        """Take how to reach it; nothing is asked yet.

        Args:
            url: Its URL.
            connect: Returns a client, which is patient or not.
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
        """A client that is patient once the store has answered: a wrong URL is to be told while its user looks."""
        return self._patient if self._has_answered else self._quick

    def url_of(self, key: str) -> str:
        """Return the URL of an object."""
        return f"{self.url}/{key}"

    def head(self, key: str) -> Object:
        """Return what the bucket says of an object.

        Raises:
            OSError: There is none, or the store failed.
        """
        with self._request(key) as obstore:
            return Object.of(obstore.head(self._client, key))

    def get(self, key: str, start: int = 0, stop: int | None = None, tag: str | None = None) -> bytes:
        """Return the bytes of an object from ``start`` to ``stop``.

        Raises:
            ChangedError: It does not have the tag.
            OSError: There is none, or the store failed.
        """
        options: dict[str, Any] = {} if stop is None else {"range": (start, stop)}
        if tag:
            options["if_match"] = f'"{tag}"'
        with self._request(key) as obstore:
            return bytes(obstore.get(self._client, key, options=options or None).bytes())

    def read(self, key: str, longest: int) -> tuple[Object, bytes]:
        """Return an object and its last bytes: ``longest``, or all where the store sends no parts.

        Raises:
            OSError: There is none, or the store failed.
        """
        with self._request(key) as obstore:
            try:
                result = obstore.get(self._client, key, options={"range": {"suffix": longest}})
                return Object.of(result.meta), bytes(result.bytes())
            except (obstore.exceptions.GenericError, obstore.exceptions.NotSupportedError):
                found = Object.of(obstore.head(self._client, key))  # it is empty, or the cloud knows no last bytes
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
        self, key: str, content: bytes | memoryview | Path, *, new: bool = False, instead_of: str | None = None
    ) -> str:
        """Write an object in one act; return its tag.

        Args:
            key: Its key.
            content: Its bytes, or the file that holds them.
            new: Whether there must be none; a large file may take its place all the same.
            instead_of: The tag of the one that it must take the place of.

        Raises:
            FileExistsError: There is one.
            ChangedError: There is another one.
            OSError: The store failed.
        """
        mode: Any = {"e_tag": f'"{instead_of}"'} if instead_of is not None else "create" if new else "overwrite"
        with self._request(key) as obstore:
            if isinstance(content, Path):
                size = content.stat().st_size
                if size <= _ONE_REQUEST and mode != "overwrite":
                    return _tag(obstore.put(self._client, key, content, mode=mode, use_multipart=False)["e_tag"])
                return _tag(obstore.put(self._client, key, content, chunk_size=part_size(size))["e_tag"])
            return _tag(obstore.put(self._client, key, content, mode=mode)["e_tag"])

    def upload(self, key: str, parts: Iterable[memoryview], size: int) -> str:
        """Write an object from parts in memory, many at once; it is there when they are at their end.

        Nothing is copied: the memory has to stay as it is until this returns. What ``parts`` raises abandons it.

        Raises:
            OSError: The store failed.
        """
        with self._request(key) as obstore:
            put = obstore.put(self._client, key, parts, chunk_size=part_size(size), max_concurrency=_AT_ONCE)
            return _tag(put["e_tag"])

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, if they are there.

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
                for key in keys:  # somebody else removes them, too
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
        """Return the objects right below a key, and the keys below which there are more.

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
        """Find out whether objects can be written and removed, and whether the store takes conditions; leave nothing.

        Args:
            key: A key that nobody else has.
            content: Says who tries, for whoever finds it if this process dies meanwhile.

        Raises:
            OSError: They cannot.
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
        """Give obstore; what it raises becomes an OSError.

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
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.url_of(key)) from _bare(error)
        except (obstore.exceptions.PreconditionError, obstore.exceptions.NotModifiedError) as error:
            self._has_answered = True
            raise ChangedError(errno.ESTALE, "it has been changed meanwhile", self.url_of(key)) from _bare(error)
        except FileNotFoundError as error:
            self._has_answered = True
            raise _not_found(error, self.url_of(key)) from _bare(error)
        except obstore.exceptions.BaseError as error:
            raise _store_error(error, self.url_of(key)) from _bare(error)
        self._has_answered = True


def whole(ask: Callable[[], T]) -> T:
    """Ask again where an answer was cut short, which the client does for most that it asks.

    Raises:
        OSError: It was cut short each time, or the store failed otherwise.
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
    """Return the length of the parts in which an object of a size is sent."""
    return max(_PART, -(-size // _MOST_PARTS))


def _tag(text: str | None) -> str:
    return (text or "").strip('"')


def _bare(error: Exception) -> Exception:
    """Return an error as it may be shown: a client's text may hold a signed URL."""
    return type(error)(_said(str(error)))


def _said(text: str) -> str:
    """Return what a store has said, without what only a client's author wants to know, and without secrets."""
    text = text.partition("\n\nDebug source:")[0]
    code, message = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    text = re.sub(r"\s*<\?xml.*", "", text, flags=re.DOTALL)
    if code:
        text = f"{text} {code[1]}{f' ({message[1]})' if message and message[1] else ''}"
    text = re.sub(r"\?[^\s'\")]*", "", text)
    for secret in _secrets():
        text = text.replace(secret, "…")
    return text.strip().rstrip(".")


def _secrets() -> Iterator[str]:
    """Yield what the environment keeps secret."""
    said = [os.environ.get(name, "") for name in _SECRETS]
    pairs = (each.partition("=") for each in os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    said += [value for name, _, value in pairs if name in ("AccountKey", "SharedAccessSignature")]
    yield from (each for each in said if len(each) >= _SHORTEST_SECRET)


def _not_found(error: Exception, url: str) -> OSError:
    if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
        return _store_error(error, url)
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)


def _store_error(error: Exception, url: str) -> StoreError:
    said = _said(str(error))
    refused = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    return StoreError(errno.EACCES if refused else errno.EIO, f"{said}{_remedy(said, refused=refused)}", url)


_ADVICE = {
    "NoSuchBucket": "There is no such bucket: create it, or correct its name.",
    "ContainerNotFound": "There is no such container: create it, or correct its name.",
    "RequestTimeTooSkewed": "The clock of this machine is off: set it.",
    "ExpiredToken": "The credentials have expired: renew them.",
    "InvalidAccessKeyId": "The store does not know the access key: check the credentials.",
    "SignatureDoesNotMatch": "The secret key is not the one of the access key: check the credentials.",
    "169.254.169.254": "No credentials were found, neither in the environment nor of the machine itself: set them.",
    "SlowDown": "The store asks for fewer requests: save less often.",
    "error sending request": "It could not be reached: check the network, and AWS_ENDPOINT_URL if you have set it.",
}


def _remedy(said: str, *, refused: bool) -> str:
    """Return what to do about what a store has said."""
    advice = next((text for each, text in _ADVICE.items() if each in said), "")
    if refused and not advice:
        advice = "Check that the credentials are those of this bucket, and may list, read, write and delete in it."
    return f". {advice}" if advice else ""
