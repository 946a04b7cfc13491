"""Checkpoints of each format, of two steps of one small training."""

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import ModelCheckpoint
from scenarios.damage.regions import Anatomy

ROWS = np.random.default_rng(3).normal(size=(4, 2)).astype("float32")


def small() -> Any:
    layers = [keras.Input((2,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1, name="b")]
    return keras.Sequential(layers, name="small")


if not TF_KERAS:

    @keras.saving.register_keras_serializable("damage")
    class StoresComplex(keras.layers.Layer):
        """Saves an array of a type without a precomputed layout, so that stock Keras has to write the file."""

        def build(self, shape):
            self.w = self.add_weight(shape=(2,), name="w")

        def call(self, x):
            return x * self.w[0]

        def save_own_variables(self, store):
            store["complex"] = np.asarray(to_numpy(self.w)) + np.array([1j, 2j], "complex64")

        def load_own_variables(self, store):
            self.w.assign(store["complex"].real)


def unusual() -> Any:
    layers = [keras.Input((2,)), StoresComplex(name="c"), keras.layers.Dense(1, name="b")]
    return keras.Sequential(layers, name="unusual")


@dataclass(frozen=True)
class Case:
    """A format.

    Attributes:
        ending: How its paths end.
        weights_only: Whether it is for weights alone.
        build: Makes the model.
    """

    ending: str
    weights_only: bool
    build: Callable[[], Any] = small

    def fit(self, directory: Path, epochs: int, build_other: bool = False) -> Any:
        """Train, or resume, one batch per epoch, with a checkpoint of each; return the model."""
        keras.utils.set_random_seed(5)
        model = self.model()
        if build_other:
            model.set_weights([weight + 1 for weight in model.get_weights()])
        path = directory / f"{{epoch:02d}}{self.ending}"
        checkpoint = ModelCheckpoint(path, save_weights_only=self.weights_only, resume=True)
        model.fit(ROWS, ROWS[:, :1], epochs=epochs, verbose=0, callbacks=[checkpoint])
        return model

    def model(self) -> Any:
        model = self.build()
        model.compile(keras.optimizers.Adam(name="adam"), "mse")  # Orbax identifies variables by name
        return model


_KERAS_3 = {
    "keras": Case(".keras", weights_only=False),
    "keras, by stock": Case(".keras", weights_only=False, build=unusual),
    "weights.h5": Case(".weights.h5", weights_only=True),
    "weights.h5, by stock": Case(".weights.h5", weights_only=True, build=unusual),
    "h5": Case(".h5", weights_only=False),
    "h5 weights": Case(".hdf5", weights_only=True),
    "keras directory": Case("", weights_only=False),
    "orbax directory": Case("", weights_only=True),
}
_TF_KERAS = {
    "tf checkpoint": Case("", weights_only=True),
    "saved model": Case("", weights_only=False),
    "h5": Case(".h5", weights_only=False),
    "h5 weights": Case(".h5", weights_only=True),
    "keras of weights alone": Case(".keras", weights_only=True),
}
CASES = _TF_KERAS if TF_KERAS else _KERAS_3
SINGLE_FILES = [name for name, case in CASES.items() if case.ending]


class Sample:
    """A run of two checkpoints.

    Attributes:
        case: Their format.
        directory: Where they are; one test at a time may damage them, and repairs them.
        first: The checkpoint of the first step.
        second: The checkpoint of the second step.
        model: The model at the end of training.
    """

    def __init__(self, case: Case, directory: Path) -> None:
        self.case = case
        self.directory = directory
        self.model = case.fit(directory, epochs=2)
        self.first, self.second = (Anatomy(read(self.path(epoch))) for epoch in (1, 2))

    def path(self, epoch: int) -> Path:
        return self.directory / f"{epoch:02d}{self.case.ending}"

    @cached_property
    def other_model(self) -> Any:
        """A model whose weights are those of no checkpoint."""
        model = self.case.model()
        model.set_weights([weight + 1 for weight in model.get_weights()])
        return model

    def copy_to(self, directory: Path) -> None:
        shutil.copytree(self.directory, directory)


def read(path: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint, by the ends of their paths."""
    files = [file for file in path.parent.rglob("*") if file.is_file() and str(file).startswith(str(path))]
    return {str(file).removeprefix(str(path)): file.read_bytes() for file in sorted(files)}


def write(path: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files of a checkpoint, or remove them."""
    for end, content in files.items():
        file = Path(f"{path}{end}")
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)


def values(model: Any) -> list[Any]:
    variables = model.optimizer.variables
    return [np.array(to_numpy(v)) for v in [*model.variables, *(variables() if callable(variables) else variables)]]


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


def quietly(work: Callable[[], Any]) -> Any:
    """Do something without Keras's warnings that legacy files are legacy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return work()
