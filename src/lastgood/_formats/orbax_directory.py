"""No ending, weights only: an Orbax checkpoint, which stock Keras's ``load_weights`` reads."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._bytes import directory_record
from .._bytes.training_block import Training
from .._errors import ArgumentError, MissingExtraError, RestoreError
from .._keras import ModelAdapter
from .._record import Record
from .._storage import Location, Report, Stage
from .._storage.base import Kind
from .base import Fill, Snapshot, to_bytes
from .directory import DirectoryFormat

if TYPE_CHECKING:
    from .._keras.keras3 import Keras3Model

# An optimizer keeps three values a weight at most; what else may lie in a directory is small.
_MOST_TIMES = 8
_SLACK = 1 << 20


class OrbaxDirectory(DirectoryFormat):
    """Weights and optimizer as an Orbax directory of arrays, by variable path."""

    name = "orbax directory"
    endings = {"keras": ("",)}
    weights_only = True
    describes = "weights only"
    only_reader = "Orbax"
    markers = {"orbax.checkpoint", "pytree"}

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None) -> bool:
        """Return True for any directory: Keras writes none but this that the formats before it do not recognize."""
        del at
        return kind == "directory"

    def check_model(self, adapter: ModelAdapter) -> None:
        """Check that stock Keras can read it, and that no two variables have the one path that tells them apart."""
        super().check_model(adapter)
        if not _keras3(adapter).reads_orbax():
            raise ArgumentError(
                f"Keras {adapter.version()} cannot load weights from a directory. Upgrade Keras, or save to a path "
                "that ends in '.weights.h5'."
            )
        paths = Counter(variable.path for variable in adapter.model.variables)
        twice = next((path for path, count in paths.items() if count > 1), None)
        if twice:
            raise ArgumentError(
                f"Two variables of the model have the path '{twice}', and a directory of weights tells variables apart "
                "by path alone. Give the layers unique names, or save to a path that ends in '.weights.h5'."
            )

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Import Orbax, which takes seconds; it takes arrays of its own.

        Raises:
            MissingExtraError: Orbax is not installed.
        """
        del adapter, training
        _orbax()
        return 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy all variables into arrays, which Orbax writes as stock ``load_weights`` expects them.

        Raises:
            MissingExtraError: Orbax is not installed.
        """
        ocp = _orbax()
        tree = _keras3(adapter).state_tree()
        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))

        def write(stage: Stage, report: Report) -> None:
            ocp.save_checkpointables(stage.path.absolute(), {"pytree": tree})
            directory_record.write_record(stage, record, content)
            report(stage.size())

        return Snapshot(write)

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return none: the directory has all variables of the model and the optimizer."""
        del adapter
        return []

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the files, and load them with stock Keras, which skips what does not have the path in the file.

        It reads all arrays that there are, so their sizes are looked at first.
        """
        if not verified:
            self.verify(at)
        at.storage.check_plain(at.path)
        steps = [each.name for each in at.entries() if each.name.isdigit() and each.kind == "directory"]
        with at.local() as path:
            for each in [path / step for step in steps] or [path]:
                _check_size(adapter.model, each, at)
            if directory_record.is_ours(at):
                _check_alike(_keras3(adapter), path, at, exact=exact)
            yield lambda: adapter.model.load_weights(path)


def _orbax() -> Any:
    """Return Orbax.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        from orbax.checkpoint import v1
    except ModuleNotFoundError as error:
        feature = "Saving weights to a path without an ending"
        raise MissingExtraError.for_feature(feature, "orbax-checkpoint", "orbax") from error
    return v1


def _keras3(adapter: ModelAdapter) -> "Keras3Model":
    """Return the adapter as that of Keras 3, which alone writes and reads these directories.

    Raises:
        RestoreError: The model is of tf_keras.
    """
    if adapter.generation != "keras":
        raise RestoreError("Keras 3 alone reads a directory of Orbax, and this model is one of tf_keras.")
    return cast("Keras3Model", adapter)


def _check_alike(adapter: "Keras3Model", path: Path, at: Location, *, exact: bool) -> None:
    """Check that a directory has the model's weights, and if it is to be exact, all of its state and no more.

    Args:
        adapter: The model.
        path: The directory, where Orbax finds it.
        at: The checkpoint, as users know it.
        exact: Whether it is to be exact.

    Raises:
        RestoreError: It has not: stock Keras would load what is left, if anything, and not say so.
    """
    from orbax.checkpoint import v1 as ocp

    saved = dict(_shapes(ocp.checkpointables_metadata(path).metadata["pytree"]))
    there = adapter.state_shapes()
    weights = {weight.path for weight in adapter.model.weights}
    needed = saved.keys() | there if exact else {name for name in there if name.partition("/")[2] in weights}
    wrong = sorted(name for name in needed if saved.get(name) != there.get(name))
    if wrong:
        name = wrong[0]
        model_has, file_has = (f"has the shape {has[name]}" if name in has else "is not" for has in (there, saved))
        raise RestoreError(
            f"Error loading file from {at}. Reason: it is not of this model: '{name}' {model_has} in the model and "
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


def _check_size(model: Any, path: Path, at: Location) -> None:
    """Check that the arrays of a directory take no more memory than a model of this size and an optimizer could need.

    Args:
        model: The model.
        path: The arrays, where Orbax finds them.
        at: The checkpoint, as users know it.

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
            f"Error loading file from {at}. Reason: it is not of this model: its arrays claim {claimed} bytes. "
            "Nothing was loaded. Build the model that was saved, or load another checkpoint."
        )
