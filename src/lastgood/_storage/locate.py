"""The storage of a path or URL: only this module decides which one it is."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._errors import ArgumentError, ArgumentTypeError
from .base import Storage
from .local import LocalStorage
from .location import Location
from .memory import SCHEME, MemoryStorage
from .objects import ObjectStorage, urls
from .systems import SYSTEM

LOCAL = LocalStorage()
_MEMORY = MemoryStorage()
_SCHEMES: dict[str, Storage] = {SCHEME: _MEMORY, **{scheme: ObjectStorage(scheme) for scheme in urls.SCHEMES}}
# At least two letters, since one is a Windows drive; pathlib turns two slashes into one.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")

_around: list[Callable[[Storage], Storage]] = []


def as_text(path: Any, name: str = "filepath") -> str:
    """Return a path or URL as text.

    Args:
        path: What the user passed.
        name: The argument's name, for errors.

    Raises:
        ArgumentTypeError: It is not a path.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise ArgumentTypeError(f"{name} must be a str or os.PathLike, got {path!r} of {type(path).__name__}.")
    return text if _URL.match(text) else SYSTEM.with_slashes(text)


def storage_of(text: str) -> Storage:
    """Return the storage of a path or URL, which may be a template.

    Raises:
        ArgumentError: It is a URL whose scheme is unknown, or one that its storage does not accept.
    """
    found = _URL.match(text)
    storage: Storage | None = LOCAL if found is None else _SCHEMES.get(found[1].lower())
    if storage is None:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES if scheme != SCHEME)
        raise ArgumentError(
            f"filepath {urls.without_secrets(text)!r} is a URL, and there is no storage for its scheme. Save to "
            f"{known}, to a local or mounted path, or, in tests, to {SCHEME}://."
        )
    storage.parse(text)  # report an invalid URL now rather than at the first save
    for wrap in _around:
        storage = wrap(storage)
    return storage


def locate(path: Any) -> Location:
    """Return the location of a path or URL.

    Raises:
        ArgumentTypeError: It is not a path.
        ArgumentError: It is a URL whose scheme is unknown.
    """
    if isinstance(path, Location):
        return path
    text = as_text(path, "path")
    storage = storage_of(text)
    return Location(storage.parse(text), storage)


@contextmanager
def wrapped(wrap: Callable[[Storage], Storage]) -> Iterator[None]:
    """Replace the storage of every location found in this block with ``wrap(storage)``."""
    _around.append(wrap)
    try:
        yield
    finally:
        _around.remove(wrap)
