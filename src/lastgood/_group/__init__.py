"""Processes that train one model together: which of them this is, and how they agree."""

from .choice import group_of
from .group import ALONE, Group
from .meeting import Meeting

__all__ = ["ALONE", "Group", "Meeting", "group_of"]
