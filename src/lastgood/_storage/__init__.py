"""Where checkpoints lie, and the one act that makes a checkpoint visible."""

from .base import Storage
from .choice import choose_storage
from .local import LocalStorage

__all__ = ["LocalStorage", "Storage", "choose_storage"]
