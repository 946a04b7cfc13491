"""The group that this process belongs to."""

import sys
from functools import cache
from importlib import import_module

from .._errors import ArgumentError
from .group import ALONE, Group

_KNOWN = ("jax",)  # the backends whose processes can be grouped


def group_of(backend: str) -> Group:
    """Return the group of processes that a backend has connected, or ``ALONE`` if there are no others.

    Raises:
        ArgumentError: There are others, but this version of the backend hides its message service.
    """
    if backend not in _KNOWN or backend not in sys.modules:
        return ALONE
    module = import_module(f"{__package__}.on_{backend}")
    rank, size = module.place()
    return _group(backend, rank, size) if size > 1 else ALONE


@cache
def _group(backend: str, rank: int, size: int) -> Group:
    """Return the only group of this process, cached because a group counts its meetings."""
    module = import_module(f"{__package__}.on_{backend}")
    mailbox = module.mailbox()
    if mailbox is None:
        raise ArgumentError(
            f"{size} processes train this model, but lastgood cannot find the service of this version of {backend} "
            "through which they exchange messages. Install the version that lastgood was tested with."
        )
    return Group(rank, size, mailbox, module.preempted(), module.chief_host())
