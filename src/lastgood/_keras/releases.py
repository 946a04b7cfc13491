"""Releases of Keras: what may move from one to the next is what this room knows of its inside."""

import re

NEWEST = (3, 16)
"""The newest release of Keras 3 that restarts are tested with: see ``tests/versions``."""


def release(version: str) -> tuple[int, ...]:
    """Return the release that a version is of: ``(3, 15)`` of ``"3.15.1"``; nothing of what is no version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()
