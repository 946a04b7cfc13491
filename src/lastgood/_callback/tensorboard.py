"""Marks of checkpoints in the logs of other tools, if these are installed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._keras import callback_classes
from .._record import Record

_RUN = "checkpoints"


class TensorBoardMarks:
    """Marks of checkpoints in the logs of a ``fit``'s ``TensorBoard`` callbacks, as a separate TensorBoard run."""

    def __init__(self, members: Iterable[Any]) -> None:
        """Take the callbacks; writers are created with the first mark."""
        boards = [member for member in members if isinstance(member, callback_classes("TensorBoard"))]
        self._directories = sorted({str(Path(board.log_dir, _RUN)) for board in boards})
        self._writers: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, which opens its own writers."""
        return {**vars(self), "_writers": []}

    def mark(self, path: str, record: Record, size: int) -> None:
        """Mark a checkpoint at its step.

        Args:
            path: Its path.
            record: Its record.
            size: Its size in bytes.
        """
        if not self._directories:
            return
        import tensorflow as tf  # the TensorBoard callback has imported it already

        if not self._writers:
            self._writers = [tf.summary.create_file_writer(directory) for directory in self._directories]
        for writer in self._writers:
            with writer.as_default(step=record.step):
                tf.summary.scalar("checkpoint", 1.0, description="1 at each step that was saved")
                tf.summary.scalar("checkpoint size in MB", size / 1e6)
                tf.summary.text("checkpoint", f"`{path}`")
                for name, value in record.metrics.items():
                    tf.summary.scalar(f"checkpoint {name}", value)
            writer.flush()
