"""Which storage a path is in: asked here alone, so that a test can put one of its own around it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .base import Storage
from .local import LocalStorage

_around: list[Callable[[Storage], Storage]] = []


def choose_storage(path: str) -> Storage:
    """Return the storage that ``path``, which may be a template, is in."""
    del path  # there is one kind so far
    storage: Storage = LocalStorage()
    for wrap in _around:
        storage = wrap(storage)
    return storage


@contextmanager
def wrapped(wrap: Callable[[Storage], Storage]) -> Iterator[None]:
    """Have :func:`choose_storage` return what ``wrap`` makes of its choice, until the block ends."""
    _around.append(wrap)
    try:
        yield
    finally:
        _around.remove(wrap)
