"""Which tests `make test` runs of those that need a backend: each of them, with a seeded part of its parameters.

What does not depend on the backend runs on jax, and a seeded part of it on each of the others. `make test-whole` runs
all of it.
"""

import math
import operator
import os
import random
from collections import defaultdict

_FEW = 3  # so many parameters are tried in any case
_PART_OF_PARAMETERS = 0.3
_PART_ON_OTHERS = 0.15


def is_whole():
    """Return whether all is to run that there is."""
    return os.environ.get("LASTGOOD_MATRIX") == "whole"


def some_of(names):
    """Return a seeded part of some names, others on another backend; all where all is to run."""
    return list(names) if is_whole() else [name for name in names if name in _least(names, str)]


def left_out(items):
    """Return the tests that do not run this time: the same ones each time, and others on another backend."""
    if is_whole():
        return []
    marked = [item for item in items if item.get_closest_marker("any_backend")]
    elsewhere = [] if _backend() == "jax" else [each for each in marked if _number(each.nodeid) > _PART_ON_OTHERS]
    families = defaultdict(list)
    for item in items:
        if item not in elsewhere and not item.get_closest_marker("all_parameters"):
            families[item.nodeid.partition("[")[0]].append(item)
    nodeid = operator.attrgetter("nodeid")
    return elsewhere + [each for family in families.values() for each in family if each not in _least(family, nodeid)]


def _least(family, name_of):
    """Return those of a family whose numbers are the least."""
    count = max(_FEW, math.ceil(_PART_OF_PARAMETERS * len(family)))
    return sorted(family, key=lambda each: _number(name_of(each)))[:count]


def _number(name):
    return random.Random(f"{_backend()} {name}").random()


def _backend():
    return "tf_keras" if "TF_USE_LEGACY_KERAS" in os.environ else os.environ.get("KERAS_BACKEND", "jax")
