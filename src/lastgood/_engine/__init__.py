"""What a callback and a loop of your own share: one assembly of template, format, storage, saver and keeper."""

from .announcer import Announcer
from .engine import Engine
from .progress import show_progress
from .settings import Settings

__all__ = ["Announcer", "Engine", "Settings", "show_progress"]
