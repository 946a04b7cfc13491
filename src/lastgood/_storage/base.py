"""What every kind of storage can do."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Storage(Protocol):
    """Temporary, then durable, then visible: what is at a checkpoint's path is whole, or it is not there.

    Attributes:
        publishes: Whether what is staged becomes visible; if not, it is removed when the block is left.
    """

    publishes: bool

    def stage(self, target: Path, suffix: str) -> AbstractContextManager[Path]:
        """Give a temporary path to write to; leaving the block commits it to ``target``, an exception removes it.

        Args:
            target: Where the checkpoint is to appear. Missing parent directories are made.
            suffix: The ending that the temporary path must have for its writer.

        Raises:
            OSError: The storage refused; nothing at ``target`` has changed.
        """
        ...

    def reclaim(self, directory: Path) -> list[Path]:
        """Remove what dead processes left half-written in ``directory``; return what was removed."""
        ...

    def discard(self, path: Path) -> None:
        """Remove a checkpoint that is needed no more, if it is there.

        Raises:
            OSError: The storage refused.
        """
        ...

    def check_writable(self, directory: Path) -> None:
        """Find out, by writing, whether ``directory`` takes files or can be made.

        Raises:
            OSError: It does not.
        """
        ...

    def free_space(self, directory: Path) -> int:
        """Return the bytes that can still be written below ``directory``, which need not exist yet."""
        ...
