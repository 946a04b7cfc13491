"""Processes connected by ``torch.distributed.init_process_group``.

The store through which they found each other stores their messages, too. PyTorch has no public API for the store of the
default group; this follows the source of PyTorch 2.13.
"""

import os
import secrets
import time
from datetime import timedelta
from typing import Any

import torch.distributed

from .._errors import GroupError
from .mailbox import Mailbox

_PREFIX = "lastgood"
_SECONDS_BETWEEN = 0.005


class TorchMailbox(Mailbox):
    """Messages in the store of the processes.

    A connection that waits blocks all of its other calls, so one takes, another sends, and PyTorch keeps its own.
    """

    outlives_chief = False  # without torchrun, the first process runs the store

    def __init__(self, store: Any, prefix: str) -> None:
        """Open two connections to a store, where the names of all messages begin with a prefix."""
        self._sending: Any = _connection(store, prefix)
        self._taking: Any = _connection(store, prefix)

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

    def take_now(self, name: str) -> bytes | None:
        """Return a message, or None if it is not there."""
        return self.take(name, 1.0) if self._taking.check([name]) else None

    def drop(self, name: str) -> None:
        self._sending.delete_key(name)


def _connection(store: Any, prefix: str) -> Any:
    own = store.clone() if hasattr(store, "clone") else store  # older releases cannot; their calls wait for each other
    return torch.distributed.PrefixStore(prefix, own)  # type: ignore[attr-defined] # public in the docs


def place() -> tuple[int, int, object]:
    """Return the rank of this process, from 0, the number of processes, and an object that stands for their group."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1, None
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), torch.distributed.group.WORLD


def mailbox(rank: int, size: int, seconds: float) -> Mailbox | None:
    """Return the mailbox of the processes; None if this version of PyTorch does not expose the store.

    Raises:
        GroupError: Another process does not open its own in time.
    """
    try:
        from torch.distributed.distributed_c10d import _get_default_store
    except ImportError:
        return None
    store = _get_default_store()
    door = TorchMailbox(store, _PREFIX)
    session = _invite(door, size, seconds) if rank == 0 else _ask_in(door, rank, size, seconds)
    return TorchMailbox(store, f"{_PREFIX}/{session}")


def _invite(door: TorchMailbox, size: int, seconds: float) -> str:
    """Return the name of a new session, once all other processes know it.

    The store of torchrun outlives the processes: after a restart it still has the messages of those before. So each
    process says a word that only it can know, and the chief answers each word until all are there.
    """
    session, answered = secrets.token_hex(8), set()
    missing, until = set(range(1, size)), time.monotonic() + seconds
    while missing:
        for rank in sorted(missing):
            word = door.take_now(f"word/{rank}")
            if word is not None and word not in answered:
                door.put(f"answer/{word.decode()}", session.encode())
                answered.add(word)
            if door.take_now(f"there/{session}/{rank}") is not None:
                missing.remove(rank)
        if missing and time.monotonic() > until:
            raise GroupError(
                f"Process {min(missing)} of {size} has not answered for {seconds:g} s. Call restore(), save(), wait() "
                "and should_stop in all processes, not in the first alone."
            )
        time.sleep(_SECONDS_BETWEEN)
    return session


def _ask_in(door: TorchMailbox, rank: int, size: int, seconds: float) -> str:
    """Return the name of the chief's session."""
    word = secrets.token_hex(8)
    door.put(f"word/{rank}", word.encode())
    answer = door.take(f"answer/{word}", seconds)
    if answer is None:
        raise GroupError(f"Process 0 of {size} has not answered for {seconds:g} s. It saves for all: check its output.")
    door.drop(f"answer/{word}")
    door.put(f"there/{answer.decode()}/{rank}", b"")
    return answer.decode()


def chief_host() -> str:
    """Return the host of the first process, as torchrun and most scripts set it."""
    return os.environ.get("MASTER_ADDR", "localhost")


def preempted() -> None:
    """Return None: PyTorch leaves signals to the program."""
