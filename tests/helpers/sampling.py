"""Which tests of a backend `make test` runs: those on jax that are not long, and a part of them on each other backend.

Of a test with many parameters it runs a part. Parts are seeded: the same each time. `make test-long` runs the long
tests on jax, `make test-whole` runs everything.
"""

import math
import operator
import os
import random
from collections import defaultdict

_PARAMETERS = 0.1  # of the parameters of a test on jax; half as many on others
_ON_OTHERS = {"each_backend": 1.0, "any_backend": 0.1, "": 0.2}  # of the tests, by how they are marked
_OF_ONE_BACKEND = ("tests/on_tf_keras/", "tests/scenarios/")


def is_whole():
    """Return whether everything runs."""
    return os.environ.get("LASTGOOD_MATRIX") == "whole"


def some_of(cases):
    """Return a seeded part of some cases, which depends on the backend; all if everything runs."""
    return list(cases) if is_whole() else [case for case in cases if case in _least(cases, str)]


def left_out(items, *, on_keras):
    """Return the tests that do not run: the same ones each time, but others on another backend.

    Args:
        items: All tests that were found.
        on_keras: Whether they need a backend; the others run without a sample.
    """
    if is_whole():
        return []
    families = defaultdict(list)
    for item in items:
        if (item.get_closest_marker("long") is not None) == _is_long():
            families[item.nodeid.partition("[")[0]].append(item)
    choose = _chosen if on_keras else lambda name, family: family
    chosen = {item for name, family in families.items() for item in choose(name, family)}
    return [item for item in items if item not in chosen]


def _is_long():
    """Return whether only the tests run that are marked ``long``."""
    return os.environ.get("LASTGOOD_MATRIX") == "long"


def _chosen(name, family):
    """Return the tests of one function that run on this backend."""
    marks = {mark.name for item in family for mark in item.iter_markers()}
    if name.startswith(_OF_ONE_BACKEND):
        marks.add("each_backend")
    part = next(part for mark, part in _ON_OTHERS.items() if mark in marks or not mark)
    if not _is_long() and _backend() != "jax" and _number(name) > part:
        return []
    return family if "all_parameters" in marks else _least(family, operator.attrgetter("nodeid"))


def _least(family, name_of):
    """Return the members of a family with the lowest numbers."""
    part = _PARAMETERS if _backend() == "jax" else _PARAMETERS / 2
    return sorted(family, key=lambda each: _number(name_of(each)))[: math.ceil(part * len(family))]


def _number(name):
    return random.Random(f"{_backend()} {name}").random()


def _backend():
    return "tf_keras" if "TF_USE_LEGACY_KERAS" in os.environ else os.environ.get("KERAS_BACKEND", "jax")
