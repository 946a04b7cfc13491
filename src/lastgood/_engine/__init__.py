"""What a callback and a loop of your own share: one assembly of template, format, storage, saver and keeper."""

from .announcer import Announcer
from .described import described
from .engine import Engine, newest_first
from .progress import show_progress
from .settings import Background, OnSave, Settings, moved

__all__ = [
    "Announcer",
    "Background",
    "Engine",
    "OnSave",
    "Settings",
    "described",
    "moved",
    "newest_first",
    "show_progress",
]
