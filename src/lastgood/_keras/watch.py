"""News of a ``fit`` that its callbacks do not get: it calls no hook when an exception ends it.

Methods are wrapped on the objects that belong to one ``fit``, never on a class, and unwrapped when it ends.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any

_LOGGER = logging.getLogger("lastgood")


class Watch:
    """Methods that are wrapped while a ``fit`` runs."""

    def __init__(self, left: Callable[[], None]) -> None:
        """Wrap nothing yet.

        Args:
            left: Called when an exception leaves a method that is wrapped, in the thread that this was made in.
        """
        self._left = left
        self._thread = threading.get_ident()
        self._wrapped: list[tuple[Any, str, Any, Any]] = []

    def method(self, owner: Any, name: str, before: Callable[[], None] | None = None) -> None:
        """Wrap a method.

        Args:
            owner: The object.
            name: The method's name; what the object does not have is left alone.
            before: Called before it.
        """

        def wrap(inner: Any) -> Any:
            @wraps(inner)
            def watched(*args: Any, **kwargs: Any) -> Any:
                try:
                    if before is not None:
                        before()
                    return inner(*args, **kwargs)
                except BaseException:
                    self._exception_left()
                    raise

            return watched

        self._wrap(owner, name, wrap)

    def before(self, owner: Any, name: str, call: Callable[[], None]) -> None:
        """Call something before each call of a method, whose exceptions do not count: data end by one."""

        def wrap(inner: Any) -> Any:
            @wraps(inner)
            def watched(*args: Any, **kwargs: Any) -> Any:
                call()
                return inner(*args, **kwargs)

            return watched

        self._wrap(owner, name, wrap)

    def context(self, owner: Any, name: str) -> None:
        """Wrap a method that returns a context manager: exceptions that leave the block count."""

        def wrap(inner: Any) -> Any:
            return lambda: _Context(inner(), self._exception_left)

        self._wrap(owner, name, wrap)

    def generator(self, owner: Any, name: str) -> None:
        """Wrap a method that returns a generator: exceptions that it raises count."""

        def wrap(inner: Any) -> Any:
            def watched() -> Iterator[Any]:
                try:
                    yield from inner()
                except GeneratorExit:
                    raise
                except BaseException:
                    self._exception_left()
                    raise

            return watched

        self._wrap(owner, name, wrap)

    def end(self) -> None:
        """Unwrap everything."""
        while self._wrapped:
            owner, name, watched, before = self._wrapped.pop()
            if vars(owner).get(name) is not watched:
                continue  # somebody has put another in its place
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _wrap(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        inner = getattr(owner, name, None)
        if inner is None or any(each is owner and known == name for each, known, _, _ in self._wrapped):
            return
        before, watched = vars(owner).get(name), wrap(inner)
        setattr(owner, name, watched)
        self._wrapped.append((owner, name, watched, before))

    def _exception_left(self) -> None:
        """Say so, unless it left a hook that Keras called in a thread of its own: training may go on."""
        if threading.get_ident() != self._thread:
            return
        try:
            self._left()
        except Exception:  # what ends training is the exception that left, and the caller is to see that one
            _LOGGER.exception("While an exception left fit(), this was raised:")


class _Context:
    """A context manager around another one."""

    def __init__(self, inner: Any, left: Callable[[], None]) -> None:
        self._inner = inner
        self._left = left

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            swallowed = bool(self._inner.__exit__(kind, error, trace))
        except BaseException:
            self._left()
            raise
        if kind is not None and not swallowed:
            self._left()
        return swallowed
