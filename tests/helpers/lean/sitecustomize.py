"""Saves each child process of the tests five seconds: Keras imports what it finds, and does not need it there.

Keras imports scikit-learn and matplotlib at import, and TensorFlow when a seed is set or a model is trained on another
backend. A script that imports them itself gets them; with LASTGOOD_LEAN=no, Keras gets them, too.

Python imports this file at its start, since its directory is on PYTHONPATH.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

_ON_TENSORFLOW = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"


class _Without(MetaPathFinder, Loader):
    def find_spec(self, name, path=None, target=None):
        keras = sys.modules.get("keras")
        if name in ("matplotlib", "sklearn") and keras is not None and getattr(keras.__spec__, "_initializing", False):
            return ModuleSpec(name, self)
        if name == "tensorflow" and not _ON_TENSORFLOW and _keras_asks():
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} is left out of what Keras imports", name=spec.name)

    def exec_module(self, module):
        """Do nothing: there is no module."""


def _keras_asks():
    """Return whether Keras looks for an optional module, rather than a script that needs it."""
    frame = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "keras.src.utils.module_utils":
        frame = frame.f_back
    return frame is not None


if os.environ.get("LASTGOOD_LEAN") != "no":
    sys.meta_path.insert(0, _Without())
