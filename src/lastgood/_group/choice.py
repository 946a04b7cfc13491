"""The group that this process belongs to."""

import sys
from importlib import import_module
from types import ModuleType

from .._errors import ArgumentError
from .group import ALONE, Group

_KNOWN = ("jax", "torch")  # the backends whose processes can be grouped
_groups: dict[tuple[str, object], Group] = {}  # kept, because a group counts its meetings


def group_of(backend: str, seconds: float) -> Group:
    """Return the group of processes that a backend has connected, or ``ALONE`` if there are no others.

    Args:
        backend: The backend.
        seconds: How long a process waits for the others, if they have to find one another first.

    Raises:
        GroupError: A RuntimeError: one of them does not come in time.
        ArgumentError: There are others, but this version of the backend hides its message service.
    """
    if backend not in _KNOWN or backend not in sys.modules:
        return ALONE
    module = import_module(f"{__package__}.on_{backend}")
    rank, size, which = module.place()
    if size == 1:
        return ALONE
    if (backend, which) not in _groups:
        _groups[backend, which] = _connected(module, backend, rank, size, seconds)
    return _groups[backend, which]


def jax_takes_signals() -> bool:
    """Return True if jax keeps SIGTERM for itself, to tell all processes of the training of it."""
    return "jax" in sys.modules and bool(import_module(f"{__package__}.on_jax").takes_signals())


def _connected(module: ModuleType, backend: str, rank: int, size: int, seconds: float) -> Group:
    mailbox = module.mailbox(rank, size, seconds)
    if mailbox is None:
        raise ArgumentError(
            f"{size} processes train this model, but lastgood cannot find the service of this version of {backend} "
            "through which they exchange messages. Install the version that lastgood was tested with."
        )
    return Group(rank, size, mailbox, module.preempted(), module.chief_host())
