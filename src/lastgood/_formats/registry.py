"""The table of formats, and the functions that depend on which formats there are."""

import re
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

from .._bytes import directory_record
from .._errors import ArgumentError, did_you_mean
from .._keras import Generation
from .._storage import Location
from .._storage.base import Kind
from .base import Format
from .directory import DirectoryFormat
from .keras_archive import KerasArchive
from .keras_directory import KerasDirectory
from .legacy_h5 import LegacyModel, LegacyWeights
from .orbax_directory import OrbaxDirectory
from .saved_model import SavedModel
from .tf_checkpoint import TFCheckpoint
from .weights_h5 import WeightsH5

FORMATS: list[type[Format]] = [
    TFCheckpoint,
    SavedModel,
    KerasDirectory,
    OrbaxDirectory,
    WeightsH5,
    KerasArchive,
    LegacyWeights,
    LegacyModel,
]
"""Every format. The first that recognizes a checkpoint reads it."""

# The endings of other tools' files. A path with such an ending is a mistake, not the name of a directory.
_FOREIGN = re.compile(r"\.(pt|pth|safetensors|npz|npy|pkl|pickle|onnx|tflite|pb|zip|json)", re.IGNORECASE)


def choose_format(
    text: str, suffix: str, *, weights_only: bool | None, generation: Generation = "keras", options: Any = None
) -> Format:
    """Return the format that a path selects.

    Args:
        text: The path, or a template of one.
        suffix: Its literal ending from the last dot on; empty if there is none.
        weights_only: Whether to save only the weights; if None, what the ending implies, and the whole model if the
            ending allows both.
        generation: The generation of Keras that writes.
        options: The options for writing TensorFlow's own formats; None for the defaults.

    Raises:
        ArgumentError: The ending contradicts ``weights_only``, or Keras has no format for it.
    """
    known = {
        ending for each in FORMATS for ending in each.endings.get(generation, ()) if ending and text.endswith(ending)
    }
    ending = max(known, key=len, default="") if suffix else ""
    if not ending:
        _check_ending(text, suffix, generation)
    candidates = [each for each in FORMATS if ending in each.endings.get(generation, ())]
    if weights_only is None:
        weights_only = all(each.weights_only for each in candidates)
    for each in candidates:
        if each.weights_only == weights_only:
            return each(ending, generation, options)
    raise ArgumentError(_contradiction(text, ending, generation, weights_only=weights_only))


def _contradiction(text: str, ending: str, generation: Generation, *, weights_only: bool) -> str:
    """Return the error message for a path whose ending contradicts ``weights_only``."""
    others = [
        end
        for each in FORMATS
        if each.weights_only == weights_only and each.describes in ("whole model", "weights only")
        for end in each.endings.get(generation, ())
        if end
    ]
    if weights_only:
        return (
            f"filepath {text!r} ends in '{ending}', which holds a whole model. "
            f"With save_weights_only=True end the path in '{others[0]}', or pass save_weights_only=False."
        )
    return (
        f"filepath {text!r} ends in '{ending}', which holds weights only. Pass save_weights_only=True, or end the path "
        f"in '{others[0]}' to save the whole model."
    )


def _check_ending(text: str, suffix: str, generation: Generation) -> None:
    """Check that a path whose ending matches no format is not a mistake.

    Raises:
        ArgumentError: The ending resembles a known one or, with Keras 3, belongs to another tool. (tf_keras writes
            TensorFlow's formats to paths with any ending.)
    """
    likely = get_close_matches(suffix.lower(), file_suffixes(), n=1) if suffix else []
    hint = did_you_mean(suffix.lower(), likely)
    if generation == "tf_keras" and likely:
        raise ArgumentError(
            f"filepath {text!r} ends in '{suffix}'.{hint} TensorFlow's own formats take any other ending, or none."
        )
    if generation == "keras" and (likely or _FOREIGN.fullmatch(suffix)):
        raise ArgumentError(
            f"filepath {text!r} ends in '{suffix}', for which Keras has no format.{hint} End it in "
            f"{_described(generation)}, or use no ending for a directory."
        )


def _described(generation: Generation) -> str:
    """Return the file endings and what each holds, as text for messages."""
    words: dict[str, str] = {}
    for each in FORMATS:
        for ending in each.endings.get(generation, ()):
            if ending:
                words[ending] = each.describes
    return ", ".join(f"'{ending}' ({what})" for ending, what in words.items())


def file_suffixes() -> list[str]:
    """Return the last suffixes of all files that can be checkpoints, such as ``".keras"``."""
    endings = {ending for each in FORMATS for ends in each.endings.values() for ending in ends if ending}
    return sorted({PurePosixPath(f"x{ending}").suffix for ending in endings})


def format_at(at: Location, kind: Kind | None = None) -> Format:
    """Return the format that reads the checkpoint at ``at``.

    Args:
        at: The checkpoint.
        kind: The kind of the checkpoint, if known.
    """
    kind = kind or at.kind
    names = {entry.name for entry in at.entries()} if kind == "directory" else set()
    found = next((each for each in FORMATS if each.is_at(at, kind, names)), LegacyWeights)
    return found()


def holds_checkpoint(at: Location) -> bool:
    """Return True if a directory is itself a checkpoint, complete or not, rather than a directory of checkpoints."""
    names = {entry.name for entry in at.entries()}
    directories = [each for each in FORMATS if issubclass(each, DirectoryFormat)]
    return directory_record.is_ours(at) or any(each.markers <= names for each in directories)
