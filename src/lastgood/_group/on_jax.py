"""Processes connected by ``jax.distributed.initialize``.

The service that it starts stores their messages. jax has no public API for it; this follows the source of jax 0.10.2.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax

from .mailbox import Mailbox


class JaxMailbox(Mailbox):
    """Messages on jax's coordination service.

    jax owns the connection and cannot shut down while anything else holds it, so each call looks it up again.
    """

    outlives_chief = True  # jax ends no process before all have ended

    def __init__(self, state: Any) -> None:
        """Keep the object that holds this process's connection to the service."""
        self._state = state

    def put(self, name: str, message: bytes) -> None:
        self._state.client.key_value_set_bytes(name, message, allow_overwrite=True)

    def take(self, name: str, seconds: float) -> bytes | None:
        try:
            found: bytes = self._state.client.blocking_key_value_get_bytes(name, max(1, round(seconds * 1000)))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
            return None
        return found

    def drop(self, name: str) -> None:
        self._state.client.key_value_delete(name)


def place() -> tuple[int, int, None]:
    """Return the rank of this process, from 0, and the number of processes. There is one group until they end."""
    return jax.process_index(), jax.process_count(), None


def mailbox(rank: int, size: int, seconds: float) -> Mailbox | None:
    """Return the mailbox of the processes; None if this version of jax does not expose the service."""
    del rank, size, seconds  # jax has connected them
    try:
        from jax._src.distributed import global_state
    except ImportError:
        return None
    shown = hasattr(getattr(global_state, "client", None), "blocking_key_value_get_bytes")
    return JaxMailbox(global_state) if shown else None


def chief_host() -> str:
    """Return the host of the first process, where jax's service runs."""
    from jax._src.distributed import global_state

    address = global_state.coordinator_address or "localhost:0"
    return address.rpartition(":")[0].strip("[]")


def preempted() -> Callable[[], bool] | None:
    """Return a function to call before each step: it returns whether all processes must stop after that step.

    jax handles SIGTERM itself, in C, and finds a step that all processes can still reach. Return None if this is off.
    """
    if not takes_signals():
        return None
    from jax.experimental import multihost_utils

    steps = itertools.count()
    asked: Callable[[int], bool] = multihost_utils.reached_preemption_sync_point
    return lambda: asked(next(steps))


def takes_signals() -> bool:
    """Return True if jax has installed its own handler of SIGTERM, which Python cannot see."""
    return jax.distributed.is_initialized() and bool(getattr(jax.config, "jax_enable_preemption_service", True))
