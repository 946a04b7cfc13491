"""Where checkpoints lie, and the one act that makes a checkpoint visible."""

from .base import Storage
from .local import LocalStorage

__all__ = ["LocalStorage", "Storage"]
