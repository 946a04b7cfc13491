"""Processes that ``torch.distributed.init_process_group`` has brought together.

The store through which they found each other keeps messages for them. torch has no public name for it; read from torch
2.13.
"""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from .mailbox import Mailbox

_SHORTEST, _LONGEST = 0.001, 0.05


class TorchMailbox(Mailbox):
    """Messages on torch's store.

    It asks whether a message is there rather than wait in the store, which serves one caller of a process at a time:
    training needs it too.
    """

    def __init__(self, store: Any) -> None:
        """Take this process's connection to the store."""
        self._store = store

    def put(self, name: str, message: bytes) -> None:
        self._store.set(name, message)

    def take(self, name: str, seconds: float) -> bytes | None:
        until, pause = time.monotonic() + seconds, _SHORTEST
        while not self._store.check([name]):
            if time.monotonic() >= until:
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        self._store.wait([name], timedelta(seconds=_LONGEST))
        found: bytes = self._store.get(name)
        return found

    def drop(self, name: str) -> None:
        self._store.delete_key(name)


def place() -> tuple[int, int]:
    """Return which process this is, counted from 0, and of how many."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def mailbox() -> Mailbox | None:
    """Return where they leave messages; None where this torch does not show it."""
    try:
        from torch.distributed.distributed_c10d import _get_default_store
    except ImportError:
        return None
    return TorchMailbox(_get_default_store())


def chief_host() -> str:
    """Return the machine of the first process, where torch's store is."""
    return os.environ.get("MASTER_ADDR", "localhost")


def preempted() -> Callable[[], bool] | None:
    """Return None: torch tells nobody of a machine that is taken away."""
    return None
