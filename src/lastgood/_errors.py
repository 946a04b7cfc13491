"""The exceptions. Each subclasses the builtin that the contract names, so existing ``except`` clauses still work.

LastgoodError
├── ArgumentError            (ValueError)         an argument's value, or two that contradict each other
├── ArgumentTypeError        (TypeError)          an argument's type
├── PlaceholderError         (KeyError)           a placeholder of the path that the logs cannot fill
├── MonitorError             (ValueError)         a monitored value that is not a scalar
├── SaveError                (OSError)            a checkpoint that could not be written or committed
│   ├── TargetIsDirectoryError (IsADirectoryError)  the checkpoint's path is a directory
│   └── RunInUseError                             another process uses the same files
├── StoreError               (OSError)            a bucket that refused a request, or could not be reached
├── RestoreError             (ValueError)         a checkpoint that could not be loaded
│   └── CorruptCheckpointError                    its bytes are not those that were written
├── GroupError               (RuntimeError)       another process of this training has failed
├── NotExactError            (AssertionError)     a training that does not continue exactly after a restart
└── MissingExtraError        (ImportError)        an optional package that is not installed
"""

import errno
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return a hint for the end of a message: the choice of which a name may be a misspelling; empty without one."""
    close = get_close_matches(name, sorted(choices), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


class LastgoodError(Exception):
    """The base of every error that this package raises on purpose."""


class ArgumentError(LastgoodError, ValueError):
    """An argument's value is invalid, or two arguments contradict each other."""


class ArgumentTypeError(LastgoodError, TypeError):
    """An argument has the wrong type."""


class PlaceholderError(LastgoodError, KeyError):
    """A placeholder in ``filepath`` has no value in the logs."""

    def __str__(self) -> str:
        """Return the message itself: ``KeyError`` would show its ``repr``, quotes and all."""
        return str(self.args[0])


class MonitorError(LastgoodError, ValueError):
    """The monitored value is not a scalar, so the best checkpoint cannot be determined."""


class StoreError(LastgoodError, OSError):
    """A bucket refused a request, or could not be reached. If that makes a save fail, a SaveError is raised.

    Its arguments are the system's error number, the store's message with what to do, and the URL.
    """

    def __str__(self) -> str:
        """Return the URL and the message."""
        return f"{self.filename}: {self.strerror}"


class SaveError(LastgoodError, OSError):
    """A checkpoint could not be written or made visible; what was there before is untouched."""

    @classmethod
    def during(cls, action: str, path: str | os.PathLike[str], cause: Exception) -> "SaveError":
        """Build the error for a failed ``action`` on ``path``, keeping the system's error number.

        Args:
            action: What was being done, as in "save the checkpoint".
            path: The path that the user asked for.
            cause: An ``OSError``, or the exception in which HDF5 hides one.
        """
        number = _system_error_number(cause)
        remedy = _REMEDIES.get(number or 0, "")
        reason = os.strerror(number) if number else str(cause)
        if isinstance(cause, StoreError):
            reason, remedy = str(cause.strerror).rstrip("."), ""
        error = cls(f"Could not {action} {os.fspath(path)!r}: {reason}.{remedy}")
        error.errno = number
        error.filename = os.fspath(path)
        return error

    def __str__(self) -> str:
        """Return the message itself: ``OSError`` would show the number and the path once more."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it again, in another process: ``OSError`` would lose the number and the path."""
        return type(self), self.args, {**vars(self), "errno": self.errno, "filename": self.filename}


class TargetIsDirectoryError(SaveError, IsADirectoryError):
    """The checkpoint's path is a directory that is not a checkpoint of this format."""


class RunInUseError(SaveError):
    """Another process uses the files that this one would delete, resume from, or change."""


class RestoreError(LastgoodError, ValueError):
    """A checkpoint could not be loaded into the model."""


class CorruptCheckpointError(RestoreError):
    """The bytes of a checkpoint are not those that were written.

    Attributes:
        path: The checkpoint.
        region: What is damaged, in words.
        array: The damaged array's path in the file, such as ``layers/dense/vars/0``; None if something else is damaged.
        damage: What is damaged and, if it is known, how that shows: the part of a sentence after its subject.
    """

    def __init__(self, path: str | os.PathLike[str], region: str, reason: str = "", array: str | None = None) -> None:
        """Say what is damaged.

        Args:
            path: The checkpoint.
            region: What is damaged, in words.
            reason: How the damage shows, if more is known.
            array: The path of the damaged array in the file.
        """
        self.path = os.fspath(path)
        self.region = region
        self.array = array
        self.damage = f"is damaged in {region}" + (f" ({reason})" if reason else "")
        self._given = (self.path, region, reason, array)
        super().__init__(
            f"Error loading file from {self.path}. Reason: it {self.damage}. "
            "Nothing was loaded. Use an older checkpoint."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it again, in another process."""
        return type(self), self._given


class GroupError(LastgoodError, RuntimeError):
    """Another process of the same training has failed, or does not answer; the message says which, and why."""


class NotExactError(LastgoodError, AssertionError):
    """A training that was interrupted did not continue as it would have without the interruption."""


class MissingExtraError(LastgoodError, ImportError):
    """A package that only this feature needs is not installed."""

    @classmethod
    def for_feature(cls, feature: str, package: str, extra: str) -> "MissingExtraError":
        """Build the error for ``feature``, which needs ``package`` from the extra ``extra``."""
        return cls(f"{feature} needs the package '{package}'. Install it with: pip install 'lastgood[{extra}]'")

    @classmethod
    def for_backend(cls, cause: ModuleNotFoundError) -> "MissingExtraError | ModuleNotFoundError":
        """Build the error for a Keras backend that cannot be imported; return ``cause`` for any other module."""
        if cause.name not in ("tensorflow", "jax", "torch"):
            return cause
        return cls(
            f"Keras could not import its backend '{cause.name}'. Install it with: "
            f"pip install 'lastgood[{cause.name}]', or set KERAS_BACKEND to the backend that you have: "
            "jax, torch or tensorflow."
        )


_REMEDIES = {
    errno.ENOSPC: " Free some space on that disk, or save elsewhere.",
    errno.EDQUOT: " The quota on that disk is used up: free some space, or save elsewhere.",
    errno.EACCES: " Make it writable for this user, or save elsewhere.",
    errno.EPERM: " Make it writable for this user, or save elsewhere.",
    errno.EROFS: " That file system is read-only: save elsewhere.",
    errno.ENOENT: " Check that path, or save elsewhere.",
    errno.ENOTDIR: " A part of that path is a file, not a directory.",
    errno.ENAMETOOLONG: " Shorten the file name.",
}


def is_system_error(error: Exception) -> bool:
    """Return True if the error is an ``OSError``, or a ``RuntimeError`` in which HDF5 hides one."""
    return isinstance(error, OSError) or (isinstance(error, RuntimeError) and _system_error_number(error) is not None)


def _system_error_number(error: Exception) -> int | None:
    """Return the errno of ``error``; HDF5 gives it only inside its message ("errno = 28")."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    hidden = re.search(r"\berrno = (\d+)", str(error))
    return int(hidden[1]) if hidden else None
