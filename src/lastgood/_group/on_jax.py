"""Processes that ``jax.distributed.initialize`` has brought together.

The service that it starts keeps messages for them. jax has no public name for it; read from jax 0.10.2.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax

from .mailbox import Mailbox


class JaxMailbox(Mailbox):
    """Messages on jax's coordination service.

    The connection is jax's: it is asked for each time, since jax could not end while somebody else held it.
    """

    def __init__(self, state: Any) -> None:
        """Take what holds this process's connection to the service."""
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


def place() -> tuple[int, int]:
    """Return which process this is, counted from 0, and of how many."""
    return jax.process_index(), jax.process_count()


def mailbox() -> Mailbox | None:
    """Return where they leave messages; None where this jax does not show it."""
    try:
        from jax._src.distributed import global_state
    except ImportError:
        return None
    shown = hasattr(getattr(global_state, "client", None), "blocking_key_value_get_bytes")
    return JaxMailbox(global_state) if shown else None


def chief_host() -> str:
    """Return the machine of the first process, where jax's service runs."""
    from jax._src.distributed import global_state

    address = global_state.coordinator_address or "localhost:0"
    return address.rpartition(":")[0].strip("[]")


def preempted() -> Callable[[], bool] | None:
    """Return what tells, before each step, that a process has got SIGTERM and that all are to end after this step.

    jax takes that signal for itself, in C, and finds the step that all can still come to. None where that is off.
    """
    if not getattr(jax.config, "jax_enable_preemption_service", True):
        return None
    from jax.experimental import multihost_utils

    steps = itertools.count()
    asked: Callable[[int], bool] = multihost_utils.reached_preemption_sync_point
    return lambda: asked(next(steps))
