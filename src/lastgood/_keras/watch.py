"""Detection of exceptions that end a ``fit``, for which Keras calls no hook.

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
    """The methods that are wrapped while a ``fit`` runs."""

    def __init__(self, left: Callable[[], None]) -> None:
        """Start without wrapped methods.

        Args:
            left: Called when an exception leaves a wrapped method, if it runs in the thread that created this object.
        """
        self._left = left
        self._thread = threading.get_ident()
        self._wrapped: list[tuple[Any, str, Any, Any]] = []

    def method(self, owner: Any, name: str, before: Callable[[], None] | None = None) -> None:
        """Wrap a method.

        Args:
            owner: The object.
            name: The method's name; a method that the object lacks is ignored.
            before: Called before the method.
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
        """Call ``call`` before each call of a method; ignore its exceptions, since one marks the end of the data."""

        def wrap(inner: Any) -> Any:
            @wraps(inner)
            def watched(*args: Any, **kwargs: Any) -> Any:
                call()
                return inner(*args, **kwargs)

            return watched

        self._wrap(owner, name, wrap)

    def context(self, owner: Any, name: str) -> None:
        """Wrap a method that returns a context manager, and report exceptions that leave the block."""

        def wrap(inner: Any) -> Any:
            return lambda: _Context(inner(), self._exception_left)

        self._wrap(owner, name, wrap)

    def generator(self, owner: Any, name: str) -> None:
        """Wrap a method that returns a generator, and report exceptions that it raises."""

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
                continue  # other code has replaced it
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
        """Report an exception, unless it left a hook in another thread: training may then continue."""
        if threading.get_ident() != self._thread:
            return
        try:
            self._left()
        except Exception:  # the caller must see the exception that left fit(), since it ends training
            _LOGGER.exception("Another exception was raised while an exception was leaving fit():")


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
