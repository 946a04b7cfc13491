"""The mailbox through which the processes of one training exchange messages."""

from abc import ABC, abstractmethod


class Mailbox(ABC):
    """Short named messages on a server that all processes of a training can reach.

    It is separate from the network for gradients: sending waits for no process, so any thread may send at any time.
    """

    @abstractmethod
    def put(self, name: str, message: bytes) -> None:
        """Leave a message."""

    @abstractmethod
    def take(self, name: str, seconds: float) -> bytes | None:
        """Wait up to ``seconds`` for a message and return it, or None if there is none. The message stays there."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a message, if it is there."""
