"""Releases of Keras: the internals that this package uses may change from one to the next."""

import re

NEWEST = (3, 16)
"""The newest release of Keras 3 that restarts are tested with: see ``tests/versions``."""


def release(version: str) -> tuple[int, ...]:
    """Return the release of a version: ``(3, 15)`` for ``"3.15.1"``; an empty tuple if it is not a version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()
