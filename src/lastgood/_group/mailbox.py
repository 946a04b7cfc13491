"""The mailbox through which the processes of one training exchange messages."""

from abc import ABC, abstractmethod
from typing import ClassVar


class Mailbox(ABC):
    """Short named messages on a server that all processes of a training can reach.

    It is separate from the network for gradients: sending waits for no process, so any thread may send at any time.

    Attributes:
        outlives_chief: Whether messages can still be taken after the first process has ended.
    """

    outlives_chief: ClassVar[bool]

    @abstractmethod
    def put(self, name: str, message: bytes) -> None:
        """Leave a message."""

    @abstractmethod
    def take(self, name: str, seconds: float) -> bytes | None:
        """Wait up to ``seconds`` for a message and return it, or None if there is none. The message stays there.

        Raises:
            GroupError: The server cannot be reached.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a message, if it is there."""
