"""The arguments that a callback and a loop of your own share, checked."""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from .._checkpoint import Checkpoint
from .._errors import ArgumentError, ArgumentTypeError
from .._formats import Format, choose_format
from .._keras import Generation
from .._moment import as_scalar
from .._policies.naming import Template
from .._policies.retention import Retention
from .._resuming import parse_signals
from .._storage import Storage, as_text, storage_of

_TIMEOUT = 120.0

OnError = Literal["raise", "warn"]
Background = bool | Literal["auto"]
OnSave = Callable[[Checkpoint], object]
"""Called with each checkpoint that is durable."""


@dataclass(frozen=True)
class Settings:
    """What to save, where to, and what to keep.

    Attributes:
        owner: The name of the class that the user has called, for messages.
        generation: The Keras that writes.
        options: What TensorFlow's own formats are written with.
        template: The template of the paths.
        storage: The storage that they are in.
        format: The format of the checkpoints.
        monitor: The metric that says which is best.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        background: Whether training goes on while a save is being written; ``"auto"``: unless somebody may look.
        retention: What to keep.
        on_error: What to do about a save that failed.
        on_save: Called with each checkpoint that is durable; None for nothing.
        mirror: The directory that checkpoints are copied to, as a path or a URL; None for none.
        signals: The numbers of the signals that are held back until what they would interrupt is saved.
        timeout: How many seconds processes that train together wait for one another.
    """

    owner: str
    generation: Generation
    options: Any
    template: Template
    storage: Storage
    format: Format
    monitor: str
    mode: str
    background: Background
    retention: Retention
    on_error: OnError
    on_save: OnSave | None
    mirror: str | None
    signals: tuple[int, ...]
    timeout: float

    @classmethod
    def parse(
        cls,
        filepath: Any,
        *,
        owner: str,
        generation: Generation,
        monitor: str,
        mode: str,
        weights_only: bool | None,
        options: Any = None,
        background: Any,
        keep_last: Any,
        keep_best: Any,
        keep_every: Any,
        keep: Any,
        on_error: Any,
        on_save: Any,
        mirror: Any,
        signals: Any = None,
        timeout: Any = _TIMEOUT,
    ) -> "Settings":
        """Check the arguments.

        Args:
            filepath: The template, as a path or a URL.
            owner: The name of the class that the user has called.
            generation: The Keras that writes.
            monitor: The metric that says which is best.
            mode: How it improves.
            weights_only: Whether only weights are to be saved; None if the ending decides.
            options: What TensorFlow's own formats are written with.
            background: True, False or ``"auto"``.
            keep_last: See :class:`Retention`.
            keep_best: See :class:`Retention`.
            keep_every: See :class:`Retention`.
            keep: See :class:`Retention`.
            on_error: ``"raise"`` or ``"warn"``.
            on_save: A function that takes a checkpoint, or None.
            mirror: The path or URL of a directory, or None.
            signals: Names of signals, or None.
            timeout: Seconds.

        Raises:
            ArgumentError: A value cannot work.
            ArgumentTypeError: One has the wrong type.
        """
        text = as_text(filepath)
        storage = storage_of(text)  # first: what it refuses may have a key in it, which others would show
        template = _template(text, storage)
        file_format = choose_format(
            text, template.suffix, weights_only=weights_only, generation=generation, options=options
        )
        _check_options(options, file_format, text)
        return cls(
            owner=owner,
            generation=generation,
            options=options,
            template=template,
            storage=storage,
            format=file_format,
            monitor=monitor,
            mode=_known_mode(mode, owner),
            background=parse_background(background),
            retention=Retention.parse(keep_last, keep_best, keep_every, keep),
            on_error=parse_on_error(on_error),
            on_save=parse_on_save(on_save),
            mirror=_parse_mirror(mirror, storage, template),
            signals=parse_signals(signals),
            timeout=_parse_timeout(timeout),
        )


def moved(settings: Settings, filepath: Any) -> Settings:
    """Return settings for another template; where that has the same ending, with the same format.

    Raises:
        ArgumentError: It cannot be meant.
        ArgumentTypeError: It is no path.
    """
    text = as_text(filepath)
    storage = storage_of(text)
    template, file_format = _template(text, storage), settings.format
    if template.suffix != settings.template.suffix:
        file_format = choose_format(
            text,
            template.suffix,
            weights_only=file_format.weights_only,
            generation=settings.generation,
            options=settings.options,
        )
    return replace(settings, template=template, storage=storage, format=file_format)


def _template(text: str, storage: Storage) -> Template:
    """Return a template whose paths a storage can have.

    Raises:
        ArgumentError: It is none, or no file can have such a name there.
    """
    template = Template(text)
    if flaw := storage.flaw_of(template.skeleton):
        raise ArgumentError(f"filepath {text!r} cannot be saved to: {flaw}. Give the files other names.")
    return template


def _parse_mirror(mirror: Any, storage: Storage, template: Template) -> str | None:
    """Return the directory that checkpoints are copied to.

    Raises:
        ArgumentError: It is the one that they are saved in, or a URL that cannot be.
        ArgumentTypeError: It is no path.
    """
    if mirror is None:
        return None
    text = as_text(mirror, "mirror")
    if not text:
        raise ArgumentError("mirror is empty. Pass the directory to copy checkpoints to, such as 's3://bucket/run'.")
    there = storage_of(text)
    if there is storage and there.parse(text) == storage.parse(template.components()[0]):
        raise ArgumentError(f"mirror {text!r} is the directory that is saved in. Pass another one.")
    return text


def parse_background(value: Any) -> Background:
    """Return whether training goes on while a save is being written.

    Raises:
        ArgumentError: It is neither a truth value nor ``"auto"``.
    """
    if value == "auto":
        return "auto"
    if value in (True, False):  # those of NumPy, too
        return bool(value)
    raise ArgumentError(f"Unrecognized background: {value!r}. Expected True, False or 'auto'.")


def parse_on_save(value: Any) -> OnSave | None:
    """Return what is called with each checkpoint.

    Raises:
        ArgumentTypeError: It cannot be called.
    """
    if value is None or callable(value):
        found: OnSave | None = value
        return found
    raise ArgumentTypeError(f"on_save must be a function that takes a lastgood.Checkpoint, got {value!r}.")


def _parse_timeout(value: Any) -> float:
    """Return a number of seconds.

    Raises:
        ArgumentError: It is none above 0.
    """
    seconds = as_scalar(value)
    if seconds is None or isinstance(value, bool) or not 0 < seconds < math.inf:
        raise ArgumentError(f"Unrecognized timeout: {value!r}. Expected a number of seconds above 0.")
    return seconds


def parse_on_error(value: Any) -> OnError:
    """Return what to do about a save that failed.

    Raises:
        ArgumentError: It is neither ``"raise"`` nor ``"warn"``.
    """
    if value == "raise":
        return "raise"
    if value == "warn":
        return "warn"
    raise ArgumentError(f"Unrecognized on_error: {value!r}. Expected 'raise' or 'warn'.")


def _known_mode(mode: str, owner: str) -> str:
    """Return ``mode``; one that is unknown is ``"auto"``, with a warning."""
    if mode in ("auto", "min", "max"):
        return mode
    warnings.warn(f"{owner} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=4)
    return "auto"


def _check_options(options: Any, file_format: Format, filepath: str) -> None:
    """Check ``options`` as line 2 of the contract says.

    Raises:
        ArgumentTypeError: They are of a wrong type.
        ArgumentError: They are of the right type, and the format has no use for them.
    """
    if options is None:
        return
    weights_only = file_format.weights_only
    module, name = ("train", "CheckpointOptions") if weights_only else ("saved_model", "SaveOptions")
    tensorflow = sys.modules.get("tensorflow")  # options of its type cannot come from a module never imported
    if tensorflow is None or not isinstance(options, getattr(getattr(tensorflow, module), name)):
        raise ArgumentTypeError(
            f"If save_weights_only is {weights_only}, then `options` must be either None or a "
            f"tf.{module}.{name}. Got {options!r} of type {type(options).__name__}."
        )
    if not file_format.takes_options:
        raise ArgumentError(
            f"The format '{file_format.name}' of filepath {filepath!r} has no use for the `options` argument. Please "
            "remove it. (TensorFlow's own formats have, which only tf_keras writes.)"
        )
