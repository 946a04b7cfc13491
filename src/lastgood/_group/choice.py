"""The group that this process belongs to."""

import sys
from functools import cache
from importlib import import_module

from .._errors import ArgumentError
from .group import ALONE, Group

_KNOWN = ("jax", "torch")  # the backends whose processes can be grouped


def group_of(backend: str) -> Group:
    """Return the group of processes that a backend has connected, or ``ALONE`` if there are no others.

    Raises:
        ArgumentError: There are others, but this version of the backend hides its message service.
    """
    if backend not in _KNOWN or backend not in sys.modules:
        return ALONE
    module = import_module(f"{__package__}.on_{backend}")
    rank, size, which = module.place()
    return _group(backend, rank, size, which) if size > 1 else ALONE


def jax_takes_signals() -> bool:
    """Return True if jax keeps SIGTERM for itself, to tell all processes of the training of it."""
    return "jax" in sys.modules and bool(import_module(f"{__package__}.on_jax").takes_signals())


@cache
def _group(backend: str, rank: int, size: int, which: object) -> Group:
    """Return a group of this process, the same at each call because it counts its meetings."""
    del which  # tells two groups apart if the process has left one and joined another
    module = import_module(f"{__package__}.on_{backend}")
    mailbox = module.mailbox()
    if mailbox is None:
        raise ArgumentError(
            f"{size} processes train this model, but lastgood cannot find the service of this version of {backend} "
            "through which they exchange messages. Install the version that lastgood was tested with."
        )
    return Group(rank, size, mailbox, module.preempted(), module.chief_host())
