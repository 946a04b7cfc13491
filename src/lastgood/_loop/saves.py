"""The saves of one checkpointer: what each process adds to them, their messages and their outcomes."""

import warnings
from functools import partial
from typing import Any

from .._bytes.training_block import UnpackableError
from .._engine import Announcer, Engine, parts, show_progress
from .._errors import ArgumentError
from .._formats import to_bytes
from .._group import Invitation
from .._keras import ModelAdapter
from .._moment import Moment
from .._state.model import loop_state, own_loop_state


class Saves:
    """The saves that a loop asks an engine for. If several processes train, each of them calls the same methods."""

    def __init__(self, engine: Engine, announcer: Announcer) -> None:
        """Set up without saving anything yet.

        Args:
            engine: The engine that saves.
            announcer: Prints the messages.
        """
        self._engine = engine
        self._announcer = announcer

    def save(self, moment: Moment, adapter: ModelAdapter, extra: Any) -> str:
        """Save, in the process that saves for all; return the path in all.

        Args:
            moment: The moment of the save.
            adapter: The model.
            extra: What the user adds, in this process.

        Raises:
            ArgumentError: ``extra`` contains a value that a checkpoint cannot hold.
        """
        try:
            path: str = self._engine.council.act(
                lambda: self._begin(moment, adapter, extra), partial(self._hand_in, adapter, extra)
            )
        except UnpackableError as error:
            raise ArgumentError(
                f"extra cannot be saved: {error}. Pass plain values, NumPy arrays and tensors of PyTorch."
            ) from error
        return path

    def _begin(self, moment: Moment, adapter: ModelAdapter, extra: Any) -> str:
        """Begin a save; return its path."""
        self._report()
        named = {"step": moment.step, **moment.logs}
        path = self._engine.settings.template.path(epoch=moment.epoch, batch=None, logs=named)
        self._announcer.say(f"saving model to {path}", moment.step)
        others = self._engine.council.collect()
        try:
            self._engine.save(moment, adapter, path, partial(loop_state, adapter, extra=extra, others=others))
        except UnpackableError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised, or reported as a warning
            self._announcer.failed(error, self._engine.settings.on_error, moment.step)
        if self._engine.settings.background == "auto":  # the loop runs next, and may look at the file
            self._engine.wait_until_durable()
            self._report()
        return path

    def _hand_in(self, adapter: ModelAdapter, extra: Any, invitation: Invitation | None) -> bytes:
        """Return what this process adds to the first one's save; if invited, send its parts of the model."""
        content = to_bytes(adapter, own_loop_state(adapter, extra))
        parts.give_parts(self._engine.council, adapter, self._engine.settings, invitation)
        return content

    def wait(self, on_error: str | None = None, *, copies: bool = False) -> None:
        """Wait, in all processes, until all saves are durable, and report their outcomes in the one that saves.

        Args:
            on_error: What to do about a failed save; None for what the user chose.
            copies: Whether to wait for mirrors, too, and show how far the save is.
        """
        self._engine.council.act(lambda: self.complete(on_error, copies=copies), lambda _: b"", verdict=True)

    def complete(self, on_error: str | None, *, copies: bool) -> None:
        """Wait until all saves of this process are durable, and report their outcomes. See :meth:`wait`."""
        if copies:
            show_progress(self._engine.under_way, enabled=self._announcer.verbose >= 1)
        self._engine.wait(copies=copies)
        self._report(on_error)
        self._engine.keeper.settle()

    def _report(self, on_error: str | None = None) -> None:
        """Report the outcomes of the saves that have ended since the last call."""
        for save in self._engine.ended():
            if save.error is None:
                self._announcer.finished(save, save.record.step)
            else:
                self._announcer.failed(save.error, on_error or self._engine.settings.on_error, save.record.step)
        for text in self._engine.copy_failures():
            warnings.warn(text, stacklevel=3)
        for save, error in self._engine.user_errors():
            self._announcer.call_failed(save, error, on_error or self._engine.settings.on_error, save.record.step)
