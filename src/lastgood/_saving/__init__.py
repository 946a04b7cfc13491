"""Saves: a snapshot in the hook, then writing while training continues."""

from .all_write import try_out_joining, try_out_stage, write_own_parts
from .description import beginning, record_of
from .parts import send_parts
from .saver import Save, Saver, SaveStats

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
