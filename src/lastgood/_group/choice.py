"""Which group this process belongs to."""

import sys
from functools import cache
from importlib import import_module

from .._errors import ArgumentError
from .group import ALONE, Group

_KNOWN = ("jax",)  # the backends whose processes can be grouped


def group_of(backend: str) -> Group:
    """Return the processes that a backend has brought together; one alone if there are no others.

    Raises:
        ArgumentError: There are, and this version of the backend does not show how they could talk.
    """
    if backend not in _KNOWN or backend not in sys.modules:
        return ALONE
    module = import_module(f"{__package__}.on_{backend}")
    rank, size = module.place()
    return _group(backend, rank, size) if size > 1 else ALONE


@cache
def _group(backend: str, rank: int, size: int) -> Group:
    """Return the one group of this process: its meetings are counted."""
    module = import_module(f"{__package__}.on_{backend}")
    mailbox = module.mailbox()
    if mailbox is None:
        raise ArgumentError(
            f"{size} processes train this model, and this version of {backend} does not show lastgood how they can "
            "talk to one another. Install the version that lastgood was tested with."
        )
    return Group(rank, size, mailbox, module.preempted(), module.chief_host())
