"""Where processes of one training leave messages for one another."""

from abc import ABC, abstractmethod


class Mailbox(ABC):
    """Short messages by name, on a server that all processes of a training reach.

    It is not the network that gradients travel on: a message waits for nobody, so any thread may send one at any time.
    """

    @abstractmethod
    def put(self, name: str, message: bytes) -> None:
        """Leave a message."""

    @abstractmethod
    def take(self, name: str, seconds: float) -> bytes | None:
        """Wait for a message, and return it; return None if it has not come in so many seconds. It stays there."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a message, if it is there."""
