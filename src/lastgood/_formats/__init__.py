"""File formats, one module each. The path's ending and ``save_weights_only`` choose."""

from difflib import get_close_matches
from pathlib import Path

from .._errors import ArgumentError
from .base import Format
from .keras_archive import KerasArchive
from .keras_directory import KerasDirectory
from .legacy_h5 import LegacyModel, LegacyWeights
from .orbax_directory import OrbaxDirectory
from .weights_h5 import WeightsH5

__all__ = ["Format", "choose_format", "format_at", "holds_checkpoint"]

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


def format_at(path: Path) -> Format:
    """Return the format of what is at ``path``, as far as loading its weights is concerned."""
    if path.is_dir():
        return KerasDirectory() if KerasDirectory().may_replace(path) else OrbaxDirectory()
    if path.name.endswith(".weights.h5"):
        return WeightsH5()
    return KerasArchive() if path.suffix == ".keras" else LegacyWeights()


def holds_checkpoint(directory: Path) -> bool:
    """Tell whether a directory is a checkpoint itself, rather than one that checkpoints are in."""
    known: tuple[Format, ...] = (KerasDirectory(), OrbaxDirectory())
    return any(directory.iterdir()) and any(each.may_replace(directory) for each in known)
