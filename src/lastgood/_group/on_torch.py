"""Processes connected by ``torch.distributed.init_process_group``.

The store through which they found each other stores their messages, too. PyTorch has no public API for the store of the
default group; this follows the source of PyTorch 2.13.
"""

import os
from datetime import timedelta
from typing import Any

import torch.distributed

from .._errors import GroupError
from .mailbox import Mailbox

_PREFIX = "lastgood"


class TorchMailbox(Mailbox):
    """Messages in the store of the processes.

    A connection that waits blocks all of its other calls, so one takes, another sends, and PyTorch keeps its own.
    """

    outlives_chief = False  # without torchrun, the first process runs the store

    def __init__(self, store: Any) -> None:
        """Open two connections to a store."""
        self._sending: Any = _connection(store)
        self._taking: Any = _connection(store)

    def put(self, name: str, message: bytes) -> None:
        self._sending.set(name, message)

    def take(self, name: str, seconds: float) -> bytes | None:
        try:
            if not self._taking.check([name]):  # a wait that is in vain prints a warning
                self._taking.wait([name], timedelta(seconds=seconds))
            found: bytes = self._taking.get(name)
        except torch.distributed.DistNetworkError as error:
            raise GroupError(
                "The processes have lost the connection to PyTorch's store, which the first of them or torchrun runs. "
                f"Check its output. {str(error).splitlines()[0]}"
            ) from error
        except torch.distributed.DistStoreError:
            return None
        return found

    def drop(self, name: str) -> None:
        self._sending.delete_key(name)


def _connection(store: Any) -> Any:
    return torch.distributed.PrefixStore(_PREFIX, store.clone())  # type: ignore[attr-defined] # public in the docs


def place() -> tuple[int, int, object]:
    """Return the rank of this process, from 0, the number of processes, and an object that stands for their group."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1, None
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), torch.distributed.group.WORLD


def mailbox() -> Mailbox | None:
    """Return the mailbox of the processes; None if this version of PyTorch does not expose the store."""
    try:
        from torch.distributed.distributed_c10d import _get_default_store
    except ImportError:
        return None
    store = _get_default_store()
    return TorchMailbox(store) if hasattr(store, "clone") else None


def chief_host() -> str:
    """Return the host of the first process, as torchrun and most scripts set it."""
    return os.environ.get("MASTER_ADDR", "localhost")


def preempted() -> None:
    """Return None: PyTorch leaves signals to the program."""
