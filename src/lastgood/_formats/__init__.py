"""File formats, one module each. The path's ending and ``save_weights_only`` choose."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .._errors import ArgumentError
from .._layout import directory_record
from .._storage import entries
from .._storage.positioned import PositionedFile
from .base import Format
from .keras_archive import KerasArchive
from .keras_directory import KerasDirectory
from .legacy_h5 import LegacyModel, LegacyWeights
from .orbax_directory import OrbaxDirectory
from .saved_model import SavedModel
from .tf_checkpoint import TFCheckpoint
from .weights_h5 import WeightsH5

__all__ = ["Format", "choose_format", "choose_format_of_tf_keras", "format_at", "holds_checkpoint"]

# The endings of other tools' files. A path that ends so is a mistake, not a directory's name.
_FOREIGN = {
    ".pt",
    ".pth",
    ".safetensors",
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".onnx",
    ".tflite",
    ".pb",
    ".zip",
    ".json",
}
_OURS = (".keras", ".h5", ".hdf5")


def choose_format(text: str, suffix: str, *, weights_only: bool) -> Format:
    """Return the format that a path asks for.

    Args:
        text: The path, or a template of one.
        suffix: Its literal ending from the last dot on; empty if there is none.
        weights_only: Whether only the weights are to be saved.

    Raises:
        ArgumentError: The ending contradicts ``weights_only``, or is one that Keras has no format for.
    """
    if text.endswith(".weights.h5"):
        if weights_only:
            return WeightsH5()
        raise ArgumentError(
            f"filepath {text!r} ends in '.weights.h5', which holds weights only. "
            "Pass save_weights_only=True, or end the path in '.keras' to save the whole model."
        )
    if suffix == ".keras":
        if not weights_only:
            return KerasArchive()
        raise ArgumentError(
            f"filepath {text!r} ends in '.keras', which holds a whole model. "
            "With save_weights_only=True end the path in '.weights.h5', or pass save_weights_only=False."
        )
    if suffix in (".h5", ".hdf5"):
        return LegacyWeights() if weights_only else LegacyModel()
    likely = get_close_matches(suffix.lower(), _OURS, n=1) if suffix else []
    if likely or suffix.lower() in _FOREIGN:
        hint = f" Did you mean '{likely[0]}'?" if likely else ""
        raise ArgumentError(
            f"filepath {text!r} ends in '{suffix}', for which Keras has no format.{hint} End it in '.keras' (whole "
            "model), '.weights.h5' (weights only), '.h5' or '.hdf5' (legacy), or in nothing for a directory."
        )
    return OrbaxDirectory() if weights_only else KerasDirectory()


def choose_format_of_tf_keras(text: str, suffix: str, *, weights_only: bool, options: Any) -> Format:
    """Return the format of tf_keras 2 that a path asks for.

    Args:
        text: The path, or a template of one.
        suffix: Its literal ending from the last dot on; empty if there is none.
        weights_only: Whether only the weights are to be saved.
        options: What TensorFlow's own formats are written with; None for their defaults.

    Raises:
        ArgumentError: The ending contradicts ``weights_only``, or looks like a mistake for one that there is.
    """
    if suffix in (".h5", ".hdf5") and not text.endswith(".weights.h5"):
        return LegacyWeights(takes_options=True) if weights_only else LegacyModel(takes_options=True)
    if suffix == ".keras" and weights_only:
        return LegacyWeights(".keras")
    if suffix == ".keras" or text.endswith(".weights.h5"):
        return choose_format(text, suffix, weights_only=weights_only)
    likely = get_close_matches(suffix.lower(), _OURS, n=1) if suffix else []
    if likely:
        raise ArgumentError(
            f"filepath {text!r} ends in '{suffix}'. Did you mean '{likely[0]}'? TensorFlow's own formats take any "
            "other ending, or none."
        )
    return TFCheckpoint(options) if weights_only else SavedModel(options)


def format_at(path: Path) -> Format:
    """Return the format of what is at ``path``, as far as loading its weights is concerned."""
    if entries.is_group(path):
        return TFCheckpoint()
    if path.is_dir() and (path / "saved_model.pb").exists():
        return SavedModel()
    if path.is_dir():
        return KerasDirectory() if KerasDirectory().may_replace(path) else OrbaxDirectory()
    if path.name.endswith(".weights.h5"):
        return WeightsH5()
    return KerasArchive() if path.suffix == ".keras" and not _is_hdf5(path) else LegacyWeights()


def _is_hdf5(path: Path) -> bool:
    """Tell whether a file is one of HDF5: tf_keras writes weights alone to a ``.keras`` file so."""
    try:
        with PositionedFile(path) as file:
            return file.size >= 8 and file.read(0, 8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def holds_checkpoint(directory: Path) -> bool:
    """Tell whether a directory is a checkpoint itself, whole or not, rather than one that checkpoints are in."""
    if directory_record.is_ours(directory):
        return True
    known: tuple[Format, ...] = (KerasDirectory(), OrbaxDirectory(), SavedModel())
    return any(directory.iterdir()) and any(each.may_replace(directory) for each in known)
