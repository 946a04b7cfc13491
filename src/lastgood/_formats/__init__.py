"""File formats: one module each, and one line in the table of ``registry``."""

from .base import Fill, Format, Snapshot, to_bytes
from .registry import choose_format, file_suffixes, format_at, holds_checkpoint

__all__ = ["Fill", "Format", "Snapshot", "choose_format", "file_suffixes", "format_at", "holds_checkpoint", "to_bytes"]
