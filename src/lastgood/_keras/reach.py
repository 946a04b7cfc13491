"""Optimizers and unlisted variables that can be reached through a model's attributes.

Keras lists the variables that a layer creates while it is built, and the optimizer passed to ``compile``. Training may
change more: additional optimizers, the states of recurrent layers, variables and buffers of the backend. This module
searches for them in the attributes of layers, optimizers, metrics and objects of the user's own classes, and in the
lists and dictionaries among those attributes.
"""

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, starmap
from typing import Any

from .names import automatic_base

_LONGEST = 100_000  # entries searched in a list: longer lists hold data
_CONTAINERS = (dict, list, tuple)


@dataclass(frozen=True)
class Kinds:
    """The rules by which objects of a generation of Keras and its backend are classified.

    Attributes:
        holders: The classes of Keras and of the backend whose objects may hold variables.
        optimizers: The classes of optimizers.
        skipped: Attributes that lead only to objects that others lead to, or that change with each batch.
        leaf: Takes the attribute that leads to an object's holder, the holder, the object's key there, and the object;
            returns the variable, or None if the object is not one.
    """

    holders: tuple[type, ...]
    optimizers: tuple[type, ...]
    skipped: frozenset[str]
    leaf: Callable[[Any, Any, Any, Any], Any]


class BackendVariable:
    """A variable or buffer of the backend, with the interface of Keras's variables.

    Attributes:
        path: Its name in its holder.
    """

    def __init__(self, holder: Any, key: Any, assign: Callable[[Any, Any], None]) -> None:
        """Note its place, not its tensor, which the holder may replace.

        Args:
            holder: The dictionary or list that holds it.
            key: Its key there.
            assign: Assigns new values to a tensor.
        """
        self.path = str(key)
        self._holder = holder
        self._key = key
        self._assign = assign

    @property
    def _value(self) -> Any:
        return self._holder[self._key]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self._value.shape)

    @property
    def dtype(self) -> Any:
        """Its type."""
        return self._value.dtype

    def assign(self, value: Any) -> None:
        """Assign new values."""
        self._assign(self._value, value)

    def is_at(self, other: Any) -> bool:
        """Return True if ``other`` has the same place."""
        return isinstance(other, BackendVariable) and other._holder is self._holder and other._key == self._key


@dataclass(frozen=True)
class _Place:
    """An object, and the path to it.

    Attributes:
        what: The object.
        key: Its attribute, key or index in its holder.
        before: The place of its holder; None for the model.
        watched: Whether it may gain more after its variables are created, as objects of the user's own classes may.
    """

    what: Any
    key: Any = ""
    before: "_Place | None" = None
    watched: bool = True

    @property
    def path(self) -> str:
        keys, place = [], self
        while place.before is not None:
            keys.append(str(place.key))
            place = place.before
        return "/".join(reversed(keys))


@dataclass
class _Watch:
    """The contents that stay the same as long as nothing new can be reached."""

    holders: list[Any] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    entries: list[tuple[Any, Any]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def is_unchanged(self) -> bool:
        try:
            found = starmap(operator.getitem, self.entries)
            return list(map(len, self.holders)) == self.lengths and all(map(operator.is_, found, self.values))
        except (LookupError, TypeError):
            return False


class Reach:
    """The optimizers and variables that could be reached from a model when it was searched.

    Attributes:
        optimizers: The optimizers, by attribute path, such as ``"optimizer"`` or ``"nets/0/opt"``.
        variables: The variables that were not known, by attribute path.
        names: The automatic names of Keras's objects, without their numbers.
    """

    def __init__(self, model: Any, kinds: Kinds, known: Iterable[Any], before: "Reach | None" = None) -> None:
        """Search a model.

        Args:
            model: The model.
            kinds: The rules that classify the objects.
            known: The variables that need not be found.
            before: The result of the previous search.
        """
        self.optimizers: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.names: set[str] = {"variable"}
        self._kinds = kinds
        self._root = type(model).__module__.partition(".")[0]
        self._before = before.variables if before else {}
        self._seen = {id(model)}
        for variable in known:
            self._see(variable)
        self._watch = _Watch()
        late: list[_Place] = []  # optimizers, which refer to variables of other objects
        self._look_through(_Place(model), late)
        while late:
            place = late.pop(0)
            self.optimizers[place.path] = place.what
            own = place.what.variables
            for variable in own() if callable(own) else own:
                self._see(variable)
            self._look_through(place, late)
        self._seen, self._before = set(), {}

    @property
    def is_current(self) -> bool:
        """Whether nothing new has become reachable since."""
        return self._watch.is_unchanged()

    def _look_through(self, start: _Place, late: list[_Place]) -> None:
        waiting = [start]
        while waiting:
            place = waiting.pop()
            self._note_name(place.what)
            found: list[_Place] = []
            contents = place.what if isinstance(place.what, _CONTAINERS) else vars(place.what)
            if place.watched:
                self._watch.holders.append(contents)
                self._watch.lengths.append(len(contents))
            for key, each in self._entries(place.what, contents):
                child = self._child(place, contents, key, each)
                if place.watched and (child or each is None):
                    self._watch.entries.append((contents, key))
                    self._watch.values.append(each)
                if child is not None and id(each) not in self._seen:
                    self._seen.add(id(each))
                    if isinstance(each, self._kinds.optimizers):
                        late.append(child)
                    elif not self._take(contents, child):
                        found.append(child)
            waiting.extend(reversed(found))

    def _entries(self, holder: Any, contents: Any) -> Iterable[tuple[Any, Any]]:
        """Return a holder's contents by key; attributes in an order that does not depend on when they were set."""
        if not isinstance(contents, dict):
            return enumerate(contents[:_LONGEST])
        if contents is holder:
            return list(islice(contents.items(), _LONGEST))
        names = sorted(contents.keys() - self._kinds.skipped, key=lambda name: (name.startswith("_"), name))
        return [(name, contents[name]) for name in names]

    def _child(self, place: _Place, contents: Any, key: Any, each: Any) -> _Place | None:
        """Return the place of an object to search, or of a variable; None for any other object."""
        if self._kinds.leaf(place.key, contents, key, each) is not None:
            return _Place(each, key, place)
        if isinstance(each, _CONTAINERS):
            return _Place(each, key, place, watched=place.watched)
        if not _is_holder(_class_of(each), self._kinds.holders + self._kinds.optimizers, self._root):
            return None
        return _Place(each, key, place, watched=_is_own(_class_of(each), self._root))

    def _take(self, contents: Any, child: _Place) -> bool:
        """Note a variable; return False if the object is not one."""
        variable = self._kinds.leaf(child.before.key if child.before else "", contents, child.key, child.what)
        if variable is None:
            return False
        before = self._before.get(child.path)
        self.variables[child.path] = (
            before if isinstance(before, BackendVariable) and before.is_at(variable) else variable
        )
        self._see(variable)
        return True

    def _see(self, variable: Any) -> None:
        """Skip a Keras variable, and the backend's variable inside it, from now on."""
        self._seen.add(id(variable))
        self._seen.add(id(getattr(variable, "_value", None)))

    def _note_name(self, holder: Any) -> None:
        of_keras = isinstance(holder, self._kinds.holders + self._kinds.optimizers)
        name = getattr(holder, "name", None) if of_keras else None
        if isinstance(name, str) and (base := automatic_base(name, type(holder).__name__)):
            self.names.add(base)


def _class_of(each: Any) -> Any:
    return type(each)


@cache
def _is_holder(cls: Any, holders: Sequence[type], root: str) -> bool:
    return issubclass(cls, tuple(holders)) or _is_own(cls, root)


@cache
def _is_own(cls: Any, root: str) -> bool:
    """Return True if a class is the user's own, not one of an installed package.

    Args:
        cls: The class.
        root: The package of the model's class; its classes are the user's own even if it is installed.
    """
    package = cls.__module__.partition(".")[0]
    if not cls.__dictoffset__ or issubclass(cls, type) or package in _FOREIGN:
        return False
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    installed = "site-packages" in file or "dist-packages" in file
    return package == root or not installed


_FOREIGN = {*sys.stdlib_module_names, __name__.partition(".")[0], "keras", "tf_keras", "tensorflow", "torch", "jax"}
_FOREIGN -= {"__main__"}
