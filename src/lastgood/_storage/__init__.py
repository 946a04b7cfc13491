"""Storage for checkpoints: the commit that makes one visible, and everything that reads what was saved."""

from .adopted import adopt
from .base import Extent, Image, Info, Report, Span, Stage, Storage, StoredFile
from .local import LocalStorage
from .locate import LOCAL, as_text, locate, storage_of
from .location import Location, Seen, working_directory
from .memory import MemoryStorage
from .scratch import scratch_directory

__all__ = [
    "LOCAL",
    "Extent",
    "Image",
    "Info",
    "LocalStorage",
    "Location",
    "MemoryStorage",
    "Report",
    "Seen",
    "Span",
    "Stage",
    "Storage",
    "StoredFile",
    "adopt",
    "as_text",
    "locate",
    "scratch_directory",
    "storage_of",
    "working_directory",
]
