"""The choice of a Keras generation: by the model, or, without a model, by this process's environment."""

import importlib
import os
import sys
from typing import Any

from .adapter import Generation, ModelAdapter
from .fit_adapter import FitAdapter
from .whole_model import ModelLoader

_MODEL_MODULES = {"keras": ("keras3", "Keras3Model"), "tf_keras": ("tf_keras2", "TFKeras2Model")}
_LOADERS = {"keras": ("keras3_whole", "Keras3Loader"), "tf_keras": ("tf_keras2_whole", "TFKeras2Loader")}
_FIT_MODULES: dict[Generation, str] = {"keras": "keras3_fit", "tf_keras": "tf_keras2_fit"}


def adapt(model: Any) -> ModelAdapter:
    """Return the adapter of a model."""
    return adapter_class(_generation_of(model))(model)


def adapter_class(generation: Generation) -> type[ModelAdapter]:
    """Return the class that adapts the models of a generation."""
    found: type[ModelAdapter] = _found(*_MODEL_MODULES[generation])
    return found


def loader_class(generation: Generation) -> type[ModelLoader]:
    """Return the class that loads whole models of a generation."""
    found: type[ModelLoader] = _found(*_LOADERS[generation])
    return found


def _found(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f".{module}", __package__), name)


def default_generation() -> Generation:
    """Return the generation whose ``ModelCheckpoint`` this package exports, as ``TF_USE_LEGACY_KERAS`` sets it."""
    return "tf_keras" if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True") else "keras"


def fit_around(model: Any) -> FitAdapter:
    """Return the adapter of the ``fit`` that called the caller's ``on_train_begin`` hook."""
    module = importlib.import_module(f".{_FIT_MODULES[_generation_of(model)]}", __package__)
    found: FitAdapter = module.around(sys._getframe(1))
    return found


def _generation_of(model: Any) -> Generation:
    of_tf_keras = any(base.__module__.partition(".")[0] == "tf_keras" for base in type(model).__mro__)
    return "tf_keras" if of_tf_keras else "keras"
