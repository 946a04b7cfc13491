"""Processes that train one model together: which one this is, and how they agree."""

from .choice import group_of, jax_takes_signals
from .group import ALONE, Group
from .meeting import Meeting
from .receiver import Invitation, Receiver, Sent, send
from .writers import Files, led, write_along

__all__ = [
    "ALONE",
    "Files",
    "Group",
    "Invitation",
    "Meeting",
    "Receiver",
    "Sent",
    "group_of",
    "jax_takes_signals",
    "led",
    "send",
    "write_along",
]
