"""Exports of a checkpoint's weights, and means of those of several; each file appears complete or not at all."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from ml_dtypes import bfloat16  # Keras needs it, too

from .._bytes.hdf5_layout import GROUP
from .._errors import ArgumentError, MissingExtraError, SaveError
from .._formats import format_at
from .._storage import Location
from .arrays import OPTIMIZER, Weights, open_weights

_NOT_WEIGHTS = ("optimizer", "optimizer_weights", GROUP)
_Change = Callable[[str, npt.NDArray[Any]], npt.NDArray[Any]]


def export(source: Location, target: Location, *, optimizer: bool = False, half: bool = False) -> None:
    """Write the weights of a checkpoint to a ``.weights.h5`` or ``.safetensors`` file, or its model to ``.keras``.

    Args:
        source: A checkpoint whose format can be exported.
        target: The file to write; its ending selects the format.
        optimizer: Whether to include the optimizer's state; a ``.keras`` file always has it. Stock Keras loads a file
            without it into a model that is not compiled, or whose optimizer has not been used yet.
        half: Whether to write floating-point numbers in half precision.

    Raises:
        ArgumentError: The source has no readable weights, or the target has neither ending.
        CorruptCheckpointError: The source is damaged.
        MissingExtraError: The package ``safetensors`` is not installed.
        SaveError: The target cannot be written.
    """
    _check_format(source)
    leave_out = (GROUP,) if optimizer or _suffix(target) == ".keras" else _NOT_WEIGHTS

    def change(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        del name
        return array.astype(np.float16) if half and array.dtype.kind == "f" else array

    with open_weights(source) as weights:
        if target.name.endswith(".weights.h5"):
            _write(target, lambda path: _write_hdf5(path, weights, leave_out, change if half else None))
        elif _suffix(target) == ".keras":
            _write(target, lambda path: _write_model(path, source, weights, leave_out, change if half else None))
        elif _suffix(target) == ".safetensors":
            _write(target, lambda path: _write_safetensors(path, weights, half=half, optimizer=optimizer))
        else:
            raise ArgumentError(f"{str(target)!r} must end in '.weights.h5', '.keras' or '.safetensors'.")


def average(sources: Sequence[Location], target: Location) -> None:
    """Write the mean of the weights of several checkpoints of a model; integers, such as seeds, are those of the last.

    Args:
        sources: The checkpoints.
        target: The file to write: a ``.weights.h5`` file, or a ``.keras`` file if the last checkpoint is one.

    Raises:
        ArgumentError: The checkpoints are of different models, or the target has another ending.
        CorruptCheckpointError: One of them is damaged.
        SaveError: The target cannot be written.
    """
    last, last_format = sources[-1], format_at(sources[-1])
    copies = bool(last_format.suffix) and not last_format.weights_only and _suffix(target) == last_format.suffix
    if not (target.name.endswith(".weights.h5") or copies):
        raise ArgumentError(
            f"{str(target)!r} must end in '.weights.h5', or in '.keras' where the last checkpoint is a '.keras' file."
        )
    for source in sources:
        _check_format(source)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_weights(source)) for source in sources]
        _check_alike(sources, opened)

        def mean(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if array.dtype.kind != "f":
                return array
            total = np.zeros(array.shape, np.float64)
            for weights in opened:
                total += weights.raw(name)
            return (total / len(opened)).astype(array.dtype)

        def write(path: Path) -> None:
            if copies:
                _write_model(path, last, opened[-1], _NOT_WEIGHTS, mean)
            else:
                _write_hdf5(path, opened[-1], _NOT_WEIGHTS, mean)

        _write(target, write)


def _check_format(at: Location) -> None:
    if at.kind == "file" and not format_at(at).exports:
        raise ArgumentError(
            f"{str(at)!r} is not a '.keras' or '.weights.h5' file. Load it with Keras, and save it as one."
        )


def _check_alike(sources: Sequence[Location], opened: Sequence[Weights]) -> None:
    described = [
        {entry.name: (entry.dtype, entry.shape) for entry in weights.entries if not entry.name.startswith(OPTIMIZER)}
        for weights in opened
    ]
    for path, each in zip(sources, described, strict=True):
        differing = sorted(
            name for name in described[0].keys() | each.keys() if described[0].get(name) != each.get(name)
        )
        if differing:
            raise ArgumentError(
                f"{str(path)!r} and {str(sources[0])!r} are of different models: they differ in '{differing[0]}'"
                f"{f' and {len(differing) - 1} more' if len(differing) > 1 else ''}."
            )
    odd = [name for name, (dtype, _) in described[0].items() if dtype == "bfloat16"]
    if odd:
        raise ArgumentError(f"'{odd[0]}' is of type bfloat16, which cannot be averaged. Average float32 weights.")


def _write(target: Location, write: Callable[[Path], None]) -> None:
    suffix = ".weights.h5" if target.name.endswith(".weights.h5") else _suffix(target)
    try:
        with target.storage.stage(target.path, suffix) as stage:
            write(stage.path)
    except OSError as error:
        raise SaveError.during("write", str(target), error) from error


def _write_model(
    path: Path, source: Location, weights: Weights, leave_out: Sequence[str], change: _Change | None
) -> None:
    """Write a model like that of a checkpoint, with other weights."""
    inner = path.with_name(path.name + ".h5")
    try:
        _write_hdf5(inner, weights, leave_out, change)
        format_at(source).copy_with_weights(source, inner, path)
    finally:
        inner.unlink(missing_ok=True)


def _write_hdf5(path: Path, weights: Weights, leave_out: Sequence[str], change: _Change | None) -> None:
    with h5py.File(path, "w") as file:
        weights.copy_into(file, leave_out)
        if change is None:
            return
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            dataset = file[name]
            if "dtype" in dataset.attrs:  # a type that HDF5 does not have
                continue
            changed = change(name, dataset[()])
            if changed.dtype == dataset.dtype:
                dataset[...] = changed
                continue
            attributes = dict(dataset.attrs)
            del file[name]
            file.create_dataset(name, data=changed).attrs.update(attributes)


def _write_safetensors(path: Path, weights: Weights, *, half: bool, optimizer: bool) -> None:
    try:
        from safetensors.numpy import save_file
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature("Writing .safetensors", "safetensors", "safetensors") from error
    tensors = {}
    for entry in weights.entries:
        if optimizer or not entry.name.startswith(OPTIMIZER):
            array = weights.raw(entry.name)
            if entry.dtype == "bfloat16":
                array = array.view(bfloat16)
            tensors[entry.name] = array.astype(np.float16) if half and array.dtype.kind == "f" else array
    save_file(tensors, path)


def _suffix(at: Location) -> str:
    return PurePosixPath(at.name).suffix
