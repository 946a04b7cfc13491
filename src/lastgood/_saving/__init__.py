"""One save: a snapshot at the hook, and the writing while training goes on."""

from .description import beginning, record_of
from .saver import Save, Saver, SaveStats

__all__ = ["Save", "SaveStats", "Saver", "beginning", "record_of"]
