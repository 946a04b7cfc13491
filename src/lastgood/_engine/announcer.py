"""Messages about saves, on stdout or in the log, as in Keras."""

import logging
import sys
import warnings
from collections.abc import Sequence

from .._checkpoint import Checkpoint
from .._keras import Generation, adapter_class
from .._saving import Save

_LOGGER = logging.getLogger("lastgood")


class Announcer:
    """Messages about saves that begin, succeed or fail."""

    def __init__(self, verbose: int, generation: Generation, unit: str = "Epoch") -> None:
        """Set what to print, and where.

        Args:
            verbose: 0 reports only failures, 1 prints lines, 2 adds what saves cost.
            generation: The generation of Keras, which decides where lines go.
            unit: The word before the number at the start of a line.
        """
        self.verbose = verbose
        self._generation = generation
        self._unit = unit
        self._said: set[str] = set()

    def say(self, text: str, number: int) -> None:
        """Print a line where Keras would: on stdout, or in the log if interactive logging is off.

        Args:
            text: The text of the line.
            number: The epoch or step that it is about.
        """
        if self.verbose < 1:
            return
        line = f"\n{self._unit} {number}: {text}"
        if adapter_class(self._generation).is_interactive():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        else:
            _LOGGER.info(line)

    def say_once(self, text: str, number: int) -> None:
        """Print a line, unless it has been printed. See :meth:`say`."""
        if text not in self._said:
            self._said.add(text)
            self.say(text, number)

    def not_resumed(self, filepath: str, others: Sequence[Checkpoint]) -> None:
        """Print that nothing was resumed where only checkpoints of another ``filepath`` are, regardless of ``verbose``.

        Args:
            filepath: The template.
            others: The other checkpoints in its directory, by step.
        """
        if others:
            print(f"nothing to resume: there is no checkpoint of {filepath!r}, only others, such as {others[-1].path}")

    def interrupted(self, signal: str, save: Save) -> None:
        """Print which checkpoint a signal leaves, regardless of ``verbose``: it happens once."""
        print(f"{signal}: saved {save.path}; a restart resumes from there", flush=True)

    def finished(self, save: Save, number: int) -> None:
        """Report that a save is durable."""
        if save.note:
            self.say_once(save.note, number)
        cost = f": {save.stats}" if self.verbose >= 2 else ""
        self.say(f"finished saving model to {save.path}{cost}", number)

    def call_failed(self, save: Save, error: Exception, on_error: str, number: int) -> None:
        """Report that ``on_save`` failed, as ``on_error`` says. The checkpoint is durable.

        Raises:
            Exception: The error, with ``on_error="raise"``.
        """
        if on_error == "raise":
            error.add_note(f"on_save raised this for the checkpoint {save.path!r}, which is saved.")
            raise error
        warnings.warn(
            f"{self._unit} {number}: on_save failed for the checkpoint {save.path!r}, which is saved: "
            f"{type(error).__name__}: {error}.{'' if on_error == 'tell' else ' Training continues.'}",
            stacklevel=4,
        )

    def failed(self, error: BaseException, on_error: str, number: int) -> None:
        """Report a failed save, as ``on_error`` says.

        Args:
            error: Why it failed.
            on_error: ``"raise"``, ``"warn"``, or ``"tell"``, to warn when training ends for another reason.
            number: The epoch or step.

        Raises:
            BaseException: The error, with ``on_error="raise"``, or if it is not an ``Exception``.
        """
        if on_error == "raise" or not isinstance(error, Exception):
            raise error
        outlook = "" if on_error == "tell" else " Training continues; the next save tries again."
        warnings.warn(f"{self._unit} {number}: {error}{outlook}", stacklevel=3)
