"""Saves: a snapshot in the hook, then writing while training continues."""

from .description import beginning, record_of
from .parts import send_parts
from .saver import Save, Saver, SaveStats
from .together import try_out_joining, try_out_stage, write_own_parts

__all__ = [
    "Save",
    "SaveStats",
    "Saver",
    "beginning",
    "record_of",
    "send_parts",
    "try_out_joining",
    "try_out_stage",
    "write_own_parts",
]
