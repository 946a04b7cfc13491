"""Keras 3 and tf_keras 2 behind one interface to a model and to a running ``fit``.

Neither package is imported before one of its models exists.
"""

from .adapter import Generation, Hooks, ModelAdapter, SavedArray, SavedState, are_the_same, kind_of
from .callbacks import as_callback, callback_classes
from .choice import adapt, adapter_class, default_generation, fit_around, loader_class
from .fit_adapter import FitAdapter
from .names import AutomaticNames
from .onlookers import has_code, onlooker
from .releases import release
from .whole_model import ModelLoader

__all__ = [
    "AutomaticNames",
    "FitAdapter",
    "Generation",
    "Hooks",
    "ModelAdapter",
    "ModelLoader",
    "SavedArray",
    "SavedState",
    "adapt",
    "adapter_class",
    "are_the_same",
    "as_callback",
    "callback_classes",
    "default_generation",
    "fit_around",
    "has_code",
    "kind_of",
    "loader_class",
    "onlooker",
    "release",
]
