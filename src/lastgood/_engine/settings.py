"""The checked arguments that the callback and training loops of your own share."""

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
"""Called with each durable checkpoint."""


@dataclass(frozen=True)
class Settings:
    """What to save, where to save it, and what to keep.

    Attributes:
        owner: The name of the class that the user called, for messages.
        generation: The generation of Keras that writes.
        options: Options for TensorFlow's own formats.
        template: The template of the paths.
        storage: The storage that they are in.
        format: The format of the checkpoints.
        monitor: The metric that determines which checkpoint is best.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        background: Whether training continues while a save is written; ``"auto"``: unless somebody may look at it.
        retention: What to keep.
        on_error: What to do about a failed save.
        on_save: Called with each durable checkpoint; None for nothing.
        mirror: The directory that checkpoints are copied to, as a path or a URL; None for none.
        signals: The numbers of the signals that are held back until training is saved.
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
        """Check the arguments, and return them as settings.

        Args:
            filepath: The template, as a path or a URL.
            owner: The name of the class that the user called.
            generation: The generation of Keras that writes.
            monitor: The metric that determines which checkpoint is best.
            mode: How it improves.
            weights_only: Whether to save only weights; None if the ending decides.
            options: Options for TensorFlow's own formats.
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
            ArgumentError: A value is invalid.
            ArgumentTypeError: A value has the wrong type.
        """
        text = as_text(filepath)
        storage = storage_of(text)  # first: it refuses URLs with keys, which later errors would show
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
    """Return settings for another template, with the same format if the ending is the same.

    Raises:
        ArgumentError: The template is invalid.
        ArgumentTypeError: It is not a path.
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
    """Return a template, if a storage allows its names.

    Raises:
        ArgumentError: The template is invalid, or the storage does not allow such names.
    """
    template = Template(text)
    if flaw := storage.flaw_of(template.skeleton):
        raise ArgumentError(f"filepath {text!r} cannot be saved to: {flaw}. Give the files other names.")
    return template


def _parse_mirror(mirror: Any, storage: Storage, template: Template) -> str | None:
    """Return the directory that checkpoints are copied to.

    Raises:
        ArgumentError: It is empty, the directory that they are saved in, or an invalid URL.
        ArgumentTypeError: It is not a path.
    """
    if mirror is None:
        return None
    text = as_text(mirror, "mirror")
    if not text:
        raise ArgumentError("mirror is empty. Pass the directory to copy checkpoints to, such as 's3://bucket/run'.")
    there = storage_of(text)
    if there is storage and there.parse(text) == storage.parse(template.components()[0]):
        raise ArgumentError(f"mirror {text!r} is the directory that checkpoints are saved in. Pass another one.")
    return text


def parse_background(value: Any) -> Background:
    """Return whether training continues while a save is written.

    Raises:
        ArgumentError: It is neither a boolean nor ``"auto"``.
    """
    if value == "auto":
        return "auto"
    if value in (True, False):  # including NumPy's
        return bool(value)
    raise ArgumentError(f"Unrecognized background: {value!r}. Expected True, False or 'auto'.")


def parse_on_save(value: Any) -> OnSave | None:
    """Return the function to call with each checkpoint.

    Raises:
        ArgumentTypeError: It is not callable.
    """
    if value is None or callable(value):
        found: OnSave | None = value
        return found
    raise ArgumentTypeError(f"on_save must be a function that takes a lastgood.Checkpoint, got {value!r}.")


def _parse_timeout(value: Any) -> float:
    """Return a number of seconds.

    Raises:
        ArgumentError: It is not a finite number above 0.
    """
    seconds = as_scalar(value)
    if seconds is None or isinstance(value, bool) or not 0 < seconds < math.inf:
        raise ArgumentError(f"Unrecognized timeout: {value!r}. Expected a number of seconds above 0.")
    return seconds


def parse_on_error(value: Any) -> OnError:
    """Return what to do about a failed save.

    Raises:
        ArgumentError: It is neither ``"raise"`` nor ``"warn"``.
    """
    if value == "raise":
        return "raise"
    if value == "warn":
        return "warn"
    raise ArgumentError(f"Unrecognized on_error: {value!r}. Expected 'raise' or 'warn'.")


def _known_mode(mode: str, owner: str) -> str:
    """Return ``mode``, or ``"auto"`` with a warning if it is unknown."""
    if mode in ("auto", "min", "max"):
        return mode
    warnings.warn(f"{owner} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=4)
    return "auto"


def _check_options(options: Any, file_format: Format, filepath: str) -> None:
    """Check ``options`` as line 2 of the contract says.

    Raises:
        ArgumentTypeError: They have the wrong type.
        ArgumentError: They have the right type, but the format does not use them.
    """
    if options is None:
        return
    weights_only = file_format.weights_only
    module, name = ("train", "CheckpointOptions") if weights_only else ("saved_model", "SaveOptions")
    tensorflow = sys.modules.get("tensorflow")  # if it was never imported, options cannot have its type
    if tensorflow is None or not isinstance(options, getattr(getattr(tensorflow, module), name)):
        raise ArgumentTypeError(
            f"If save_weights_only is {weights_only}, then `options` must be either None or a "
            f"tf.{module}.{name}. Got {options!r} of type {type(options).__name__}."
        )
    if not file_format.takes_options:
        raise ArgumentError(
            f"The format '{file_format.name}' of filepath {filepath!r} has no use for the `options` argument. Please "
            "remove it. (Only TensorFlow's own formats use it, and only tf_keras writes them.)"
        )
