"""A path without an ending, weights only: an Orbax checkpoint, which stock Keras's ``load_weights`` reads."""

import math
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._bytes import directory_record, zarr_as_hdf5, zarr_layout, zip_layout
from .._bytes.training_block import Training
from .._errors import ArgumentError, MissingExtraError, RestoreError
from .._keras import AutomaticNames, ModelAdapter, kind_of
from .._keras.state_tree import state_tree, variables_by_path
from .._record import Record
from .._storage import Extent, Location, Report, Stage, StoredFile
from .._storage.base import Kind
from . import zarr_load, zarr_parts
from .base import Fill, Snapshot, Write, to_bytes
from .directory import DirectoryFormat

if TYPE_CHECKING:
    from .._keras.keras3 import Keras3Model

# An optimizer keeps at most three values per weight; anything else in a directory is small.
_MOST_TIMES = 8
_SLACK = 1 << 20
_MOST_NAMED = 3
_OPTIMIZER = "optimizer_variables/"

_Array = tuple[tuple[int, ...], str]  # its shape and its type


class OrbaxDirectory(DirectoryFormat):
    """Weights and optimizer state as an Orbax directory of arrays, keyed by variable path."""

    name = "orbax directory"
    endings = {"keras": ("",)}
    weights_only = True
    describes = "weights only"
    only_reader = "Orbax"
    markers = {"orbax.checkpoint", "pytree"}
    all_write = True

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True for any directory: earlier formats in the table recognize all others that Keras writes."""
        del at, names
        return kind == "directory"

    def check_model(self, adapter: ModelAdapter) -> None:
        """Check that stock Keras can read the directory, that variable paths are unique, and no variable is empty."""
        super().check_model(adapter)
        if not _keras3(adapter).reads_orbax():
            raise ArgumentError(
                f"Keras {adapter.version()} cannot load weights from a directory. Upgrade Keras, or save to a path "
                "that ends in '.weights.h5'."
            )
        _check_paths(adapter.model.variables)
        empty = next((variable.path for variable in adapter.model.variables if 0 in variable.shape), None)
        if empty:
            raise ArgumentError(
                f"The variable '{empty}' is empty, and Orbax saves no empty arrays. Save to a path that ends in "
                "'.weights.h5'."
            )

    def check_processes(self, adapter: ModelAdapter, split: Sequence[Any]) -> None:
        """Check that all processes together can write the directory."""
        zarr_parts.check(adapter, split)

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Import Orbax, which takes seconds, unless several processes train: they write without it.

        Raises:
            MissingExtraError: Orbax is not installed.
        """
        del training
        if adapter.spans_processes():
            return zarr_parts.size(adapter)
        _orbax()
        return 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy all variables to arrays, to be written as stock ``load_weights`` expects them.

        Orbax would synchronize several processes over the channels that training is using at that time, so there each
        process writes its parts itself.

        Raises:
            MissingExtraError: Orbax is not installed.
        """
        if adapter.spans_processes():
            return self._split_snapshot(adapter, record, training)
        ocp = _orbax()
        tree = state_tree(_keras3(adapter), adapter.to_numpy)
        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))

        def write(stage: Stage, report: Report) -> None:
            ocp.save_checkpointables(stage.path.absolute(), {"pytree": tree})
            report(stage.size())

        return Snapshot(write, lambda stage: directory_record.write_record(stage, record, content))

    def _split_snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
        around, parts = zarr_parts.files_around(adapter), zarr_parts.CopiedParts(adapter, chief=True)

        def write(stage: Stage, report: Report) -> None:
            for name, text in around.items():
                stage.write(name, text)
            parts.write(stage, report)

        seal = partial(directory_record.write_record, record=record, training=content)
        return Snapshot(write, seal, size=parts.size)

    def own_parts(self, adapter: ModelAdapter) -> Write:
        """Copy the parts that this process, not the chief, writes. See :meth:`Format.own_parts`."""
        return zarr_parts.CopiedParts(adapter, chief=False).write

    def files_elsewhere(self, adapter: ModelAdapter) -> set[str]:
        """Return the names of the files that other processes write. See :meth:`Format.files_elsewhere`."""
        return zarr_parts.files_elsewhere(adapter)

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return the variables that Keras does not list; the directory holds all others of model and optimizer."""
        return list(adapter.unlisted_variables().values())

    def only_reader_of(self, at: Location) -> str | None:
        """Return None for a directory of several processes. See :meth:`Format.only_reader_of`."""
        return None if _is_readable(at) else super().only_reader_of(at)

    @contextmanager
    def arrays(self, at: Location) -> Iterator[tuple[StoredFile, Extent]]:
        """Open the arrays as those of an HDF5 file, if several processes have saved them."""
        if not _is_readable(at):
            with super().arrays(at) as found:
                yield found
            return
        at.storage.check_plain(at.path)
        with zarr_as_hdf5.Hdf5OfParts(at) as file:
            yield file, Extent(0, file.size)

    def config(self, at: Location) -> bytes | None:
        """Return the model's configuration, if several processes have saved the directory."""
        text = zarr_as_hdf5.read(at)["config"] if _is_readable(at) else None
        return None if text is None else str(text).encode()

    def copy_with_weights(self, at: Location, weights: Path, target: Path) -> None:
        """Make a ``.keras`` file of the model, if several processes have saved it. See the base class."""
        said = zarr_as_hdf5.read(at) if _is_readable(at) else {}
        if said.get("config") is None or said.get("metadata") is None:
            super().copy_with_weights(at, weights, target)
            return
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("metadata.json", str(said["metadata"]))
            archive.writestr("config.json", str(said["config"]))
            archive.write(weights, zip_layout.WEIGHTS)

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the files, and load them with stock Keras if all paths match, or else from their counterparts.

        Stock Keras skips variables whose path is not in the directory, and reads every array, so paths and sizes are
        checked first.
        """
        if not verified:
            self.verify(at)
        at.storage.check_plain(at.path)
        if directory_record.is_ours(at) and zarr_layout.is_at(at):
            arrays = {array.path: array for array in zarr_layout.arrays_at(at)}
            saved = {path: (array.shape, array.dtype) for path, array in arrays.items()}
            likes = _likes(_keras3(adapter), saved, at, exact=exact)
            chosen = {name: arrays[like] for name, like in likes.items()}
            yield lambda: zarr_load.fill(adapter, at, chosen)
            return
        steps = [each.name for each in at.entries() if each.name.isdigit() and each.kind == "directory"]
        with at.local() as path:
            for each in [path / step for step in steps] or [path]:
                _check_size(adapter.model, each, at)
            adapted = _keras3(adapter)
            likes = _likes(adapted, _arrays_at(path), at, exact=exact) if directory_record.is_ours(at) else {}
            if all(mine == saved for mine, saved in likes.items()):
                yield lambda: adapter.model.load_weights(path)
            else:
                yield lambda: _fill(adapted, path, likes)


def _check_paths(variables: Iterable[Any]) -> None:
    """Check that Orbax tells variables apart, which it names after their paths, with dots for slashes.

    Raises:
        ArgumentError: It does not.
    """
    known: dict[str, str] = {}
    for path in (variable.path for variable in variables):
        other = known.setdefault(path.replace("/", "."), path)
        if other is path:
            continue
        if other == path:
            raise ArgumentError(
                f"Two variables of the model have the path '{path}', and a directory of weights tells variables apart "
                "by path alone. Give the layers unique names, or save to a path that ends in '.weights.h5'."
            )
        raise ArgumentError(
            f"The variables '{other}' and '{path}' would have the same name in a directory of weights, where slashes "
            "become dots. Name the layers without dots, or save to a path that ends in '.weights.h5'."
        )


def _is_readable(at: Location) -> bool:
    """Return True if lastgood can read the arrays of a directory by itself."""
    return (at / zarr_as_hdf5.NAME).kind == "file"


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
    """Return the adapter as one of Keras 3, the only generation that reads and writes these directories.

    Raises:
        RestoreError: It is a tf_keras model.
    """
    if adapter.generation != "keras":
        raise RestoreError("Only Keras 3 can read an Orbax directory, and this is a tf_keras model.")
    return cast("Keras3Model", adapter)


def _arrays_at(path: Path) -> dict[str, _Array]:
    """Return the shape and the type of each array in a directory, by its path there."""
    from orbax.checkpoint import v1 as ocp

    return dict(_described(ocp.checkpointables_metadata(path).metadata["pytree"]))


def _likes(adapter: "Keras3Model", saved: Mapping[str, _Array], at: Location, *, exact: bool) -> dict[str, str]:
    """Map the path of each array to load in the model to the path of its counterpart in the directory.

    Args:
        adapter: The model.
        saved: The arrays in the directory, by path.
        at: The checkpoint, for messages.
        exact: Whether the directory must hold all of the model's state and no more, rather than at least its weights.

    Raises:
        RestoreError: It does not: stock Keras would silently load only what matches.
    """
    there = {name: (tuple(v.shape), adapter.dtype_of(v)) for name, v in variables_by_path(adapter).items()}
    likes = _paired(adapter.automatic_names(), there, saved)
    fitting = {name: like for name, like in likes.items() if _fits(there[name], saved[like])}
    weights = {weight.path for weight in adapter.model.weights}
    needed = [name for name in there if exact or name.partition("/")[2] in weights]
    like = {name: saved.get(likes.get(name, name)) for name in needed}
    wrong = [
        f"'{name}' {_in_words(there[name])} in the model and {_in_words(like[name])} in the directory"
        for name in sorted(like.keys() - fitting.keys())
    ]
    surplus = sorted(saved.keys() - set(likes.values())) if exact else []
    unknown = [f"'{name}' is not in the model and {_in_words(saved[name])} in the directory" for name in surplus]
    wrong = [each for pair in zip_longest(wrong, unknown) for each in pair if each]
    if wrong:
        more = f"; {len(wrong) - _MOST_NAMED} more differ" if len(wrong) > _MOST_NAMED else ""
        raise RestoreError(
            f"Error loading file from {at}. Reason: it does not match the model: "
            f"{'; '.join(wrong[:_MOST_NAMED])}{more}. Nothing was loaded. A directory tells variables apart by path: "
            "build the model that was saved, with the same names for its layers and its optimizer."
        )
    return fitting


def _paired(names: AutomaticNames, there: Iterable[str], saved: Iterable[str]) -> dict[str, str]:
    """Map the paths of a model's arrays to the paths of their counterparts in a directory, where there are any.

    Numbers that Keras gave to layers are ignored, also in the names of optimizer arrays, which contain weight names.
    """
    mine, theirs = _by_owner(there), _by_owner(saved)
    pairs = names.pair(mine[False], theirs[False])
    flat = {_flat(name): _flat(like) for name, like in pairs.items()}
    renamed = {_with_weights_of(name, flat): name for name in mine[True]}
    likes = names.pair(renamed, theirs[True])
    return pairs | {renamed[name]: like for name, like in likes.items()}


def _by_owner(paths: Iterable[str]) -> dict[bool, list[str]]:
    """Return the paths, grouped by whether they are the optimizer's."""
    found: dict[bool, list[str]] = {False: [], True: []}
    for path in paths:
        found[path.startswith(_OPTIMIZER)].append(path)
    return found


def _flat(path: str) -> str:
    """Return a weight's path in the form that an optimizer uses in the names of its arrays."""
    return path.partition("/")[2].replace("/", "_")


def _with_weights_of(path: str, flat: Mapping[str, str]) -> str:
    """Return the path of an optimizer's array, with the weight's name replaced by its name in the directory."""
    owner, _, name = path.rpartition("/")
    ends = [end for end in range(len(name), 0, -1) if name[end : end + 1] in ("", "_") and name[:end] in flat]
    return f"{owner}/{flat[name[: ends[0]]]}{name[ends[0] :]}" if ends else path


def _fits(one: _Array, other: _Array) -> bool:
    return one[0] == other[0] and kind_of(one[1]) == kind_of(other[1])


def _in_words(array: _Array | None) -> str:
    return "is not" if array is None else f"has the shape {array[0]} ({array[1]})"


def _fill(adapter: "Keras3Model", path: Path, likes: Mapping[str, str]) -> None:
    """Assign to the model's variables the arrays of their counterparts."""
    from orbax.checkpoint import v1 as ocp

    arrays = dict(_leaves(ocp.load_checkpointables(path)["pytree"]))
    for name, variable in variables_by_path(adapter).items():
        if name in likes:
            variable.assign(arrays[likes[name]])


def _described(tree: Mapping[str, Any]) -> Iterator[tuple[str, _Array]]:
    """Yield the path, the shape and the type of each array in nested dictionaries."""
    for path, leaf in _leaves(tree):
        yield path, (tuple(leaf.shape), np.dtype(leaf.dtype).name)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _check_size(model: Any, path: Path, at: Location) -> None:
    """Check that the arrays of a directory take no more memory than a model of this size and an optimizer could need.

    Args:
        model: The model.
        path: The arrays, where Orbax finds them.
        at: The checkpoint, for messages.

    Raises:
        RestoreError: They claim more.
    """
    from orbax.checkpoint import v1 as ocp

    describe = getattr(ocp, "metadata", None) or ocp.pytree_metadata  # the name in older versions
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
            f"Error loading file from {at}. Reason: it does not match the model: its arrays claim {claimed} bytes. "
            "Nothing was loaded. Build the model that was saved, or load another checkpoint."
        )
