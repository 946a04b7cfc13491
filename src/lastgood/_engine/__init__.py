"""What the callback and training loops of your own share: template, format, storage, saver and keeper, assembled."""

from .announcer import Announcer
from .council import Council
from .described import described
from .engine import Engine, newest_first, others_than
from .progress import show_progress
from .settings import Background, OnSave, Settings, moved

__all__ = [
    "Announcer",
    "Background",
    "Council",
    "Engine",
    "OnSave",
    "Settings",
    "described",
    "moved",
    "newest_first",
    "others_than",
    "show_progress",
]
