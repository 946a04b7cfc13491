"""Restoring a model: finding a checkpoint, verifying it, and loading its state."""

from .found import Found, newest_intact, open_checkpoint
from .load import Progress, load_into, load_weights, put_in_place, restore
from .together import find_together

__all__ = [
    "Found",
    "Progress",
    "find_together",
    "load_into",
    "load_weights",
    "newest_intact",
    "open_checkpoint",
    "put_in_place",
    "restore",
]
