"""One save: a snapshot at the hook, and the writing while training goes on."""

from .description import environment, record_of
from .saver import Save, Saver, SaveStats

__all__ = ["Save", "SaveStats", "Saver", "environment", "record_of"]
