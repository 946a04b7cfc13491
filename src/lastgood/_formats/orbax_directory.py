"""No ending, weights only: an Orbax checkpoint, which stock Keras's ``load_weights`` reads."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ArgumentError, MissingExtraError, RestoreError
from .._layout import directory_record
from .._layout.training_block import Training
from .._record import Record
from .._storage.entries import tree_bytes
from .._storage.plain import check_plain
from .base import Report, Snapshot, WhenAlike, to_bytes

# An optimizer keeps three values a weight at most; what else may lie in a directory is small.
_MOST_TIMES = 8
_SLACK = 1 << 20
_MARKERS = {"orbax.checkpoint", "pytree"}


class OrbaxDirectory:
    """Weights and optimizer as an Orbax directory of arrays, by variable path."""

    name = "orbax directory"
    takes_options = False
    suffix = ""

    def check_model(self, model: Any) -> None:
        """Check that stock Keras can read it, and that no two variables have the one path that tells them apart."""
        import keras  # here, because looking at checkpoints must not import Keras

        from .. import _keras

        if not _keras.reads_orbax():
            raise ArgumentError(
                f"Keras {keras.version()} cannot load weights from a directory. Upgrade Keras, or save to a path that "
                "ends in '.weights.h5'."
            )
        paths = Counter(variable.path for variable in model.variables)
        twice = next((path for path, count in paths.items() if count > 1), None)
        if twice:
            raise ArgumentError(
                f"Two variables of the model have the path '{twice}', and a directory of weights tells variables apart "
                "by path alone. Give the layers unique names, or save to a path that ends in '.weights.h5'."
            )

    def prepare(self, model: Any, training: Training) -> int:
        """Do nothing: Orbax takes arrays of its own."""
        del model, training
        return 0

    def snapshot(self, model: Any, record: Record, training: Training) -> Snapshot:
        """Copy all variables into arrays, which Orbax writes as stock ``load_weights`` expects them.

        Raises:
            MissingExtraError: Orbax is not installed.
        """
        try:
            from orbax.checkpoint import v1 as ocp

            from .. import _keras  # here, because looking at checkpoints must not import Keras
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_feature(
                "Saving weights to a path without an ending", "orbax-checkpoint", "orbax"
            ) from error
        tree = _keras.state_tree(model)
        content = to_bytes(model, training(self.unsaved_variables(model)))

        def write(path: Path, report: Report) -> None:
            ocp.save_checkpointables(path, {"pytree": tree})
            directory_record.write_record(path, record, content)
            report(tree_bytes(path))

        return Snapshot(write)

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the directory's own file."""
        return directory_record.read_record(path)

    def unsaved_variables(self, model: Any) -> list[Any]:
        """Return none: the directory has all variables of the model and the optimizer."""
        del model
        return []

    def read_training(self, path: Path) -> bytes | None:
        """Return the training state in the directory's own file."""
        return directory_record.read_training(path)

    def verify(self, path: Path) -> None:
        """Check every file against its digest."""
        directory_record.verify(path)

    def load_weights(self, model: Any, path: Path, *, when_alike: WhenAlike | None = None) -> None:
        """Check the files, and load them with stock Keras, which leaves alone what is not of the path in the file.

        It reads all arrays that there are, so their sizes are looked at first.
        """
        if when_alike is None:
            self.verify(path)
        check_plain(path)
        steps = [each for each in path.iterdir() if each.name.isdigit() and each.is_dir()]
        for each in steps or [path]:
            _check_size(model, each)
        _check_alike(model, path, exact=when_alike is not None)
        if when_alike is not None:
            when_alike()
        model.load_weights(path)

    def may_replace(self, path: Path) -> bool:
        """A directory replaces an older one of its kind, or an empty one."""
        return not path.exists() or directory_record.is_checkpoint(path, _MARKERS)


def _check_alike(model: Any, path: Path, *, exact: bool) -> None:
    """Check that a directory of ours has the model's weights, and if it is to be exact, all of its state and no more.

    Raises:
        RestoreError: It has not: stock Keras would load what is left, if anything, and not say so.
    """
    from orbax.checkpoint import v1 as ocp

    from .. import _keras  # here, because looking at checkpoints must not import Keras

    if not directory_record.is_ours(path):
        return
    saved = dict(_shapes(ocp.checkpointables_metadata(path).metadata["pytree"]))
    there = _keras.state_shapes(model)
    weights = {weight.path for weight in model.weights}
    needed = saved.keys() | there if exact else {name for name in there if name.partition("/")[2] in weights}
    wrong = sorted(name for name in needed if saved.get(name) != there.get(name))
    if wrong:
        name = wrong[0]
        model_has, file_has = (f"has the shape {at[name]}" if name in at else "is not" for at in (there, saved))
        raise RestoreError(
            f"Error loading file from {path}. Reason: it is not of this model: '{name}' {model_has} in the model and "
            f"{file_has} in the directory; {len(wrong)} of {len(needed)} arrays differ. Nothing was loaded. "
            "A directory tells variables apart by path: build the model that was saved, with the names that its layers "
            "and its optimizer had."
        )


def _shapes(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the path and the shape of each array in nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _shapes(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", tuple(value.shape)


def _check_size(model: Any, path: Path) -> None:
    """Check that the arrays of a directory take no more memory than a model of this size and an optimizer could need.

    Raises:
        RestoreError: They claim more.
    """
    from orbax.checkpoint import v1 as ocp

    describe = getattr(ocp, "metadata", None) or ocp.pytree_metadata  # the name that older ones have
    waiting, claimed = [describe(path, "pytree").metadata], 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list | tuple):
            waiting += each.values() if isinstance(each, dict) else each
        elif hasattr(each, "shape") and hasattr(each, "dtype"):
            claimed += math.prod(each.shape) * np.dtype(each.dtype).itemsize
    own = sum(math.prod(variable.shape) * 8 for variable in model.variables)
    if claimed > _MOST_TIMES * own + _SLACK:
        raise RestoreError(
            f"Error loading file from {path}. Reason: it is not of this model: its arrays claim {claimed} bytes. "
            "Nothing was loaded. Build the model that was saved, or load another checkpoint."
        )
