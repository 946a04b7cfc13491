"""Other tools that look at a training: what a run's checkpoints are to them, where they are installed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._keras import callback_classes
from .._record import Record

_RUN = "checkpoints"


class TensorBoardMarks:
    """Marks checkpoints in the logs of the ``TensorBoard`` callbacks of a ``fit``, in a run of their own."""

    def __init__(self, members: Iterable[Any]) -> None:
        """Take the callbacks; a writer is made with the first mark."""
        boards = [member for member in members if isinstance(member, callback_classes("TensorBoard"))]
        self._directories = sorted({str(Path(board.log_dir, _RUN)) for board in boards})
        self._writers: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can use: it opens logs of its own."""
        return {**vars(self), "_writers": []}

    def mark(self, path: str, record: Record, size: int) -> None:
        """Mark a checkpoint at its step.

        Args:
            path: The checkpoint.
            record: Its record.
            size: Its bytes.
        """
        if not self._directories:
            return
        import tensorflow as tf  # which the TensorBoard callback has needed already

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
