"""Spares each child process of the tests two seconds: Keras imports scikit-learn and matplotlib wherever they are.

Python imports this at its start, being on PYTHONPATH. Once Keras is imported, both can be imported as ever.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec


class _Without(MetaPathFinder, Loader):
    def find_spec(self, name, path=None, target=None):
        keras = sys.modules.get("keras")
        if name in ("matplotlib", "sklearn") and keras is not None and getattr(keras.__spec__, "_initializing", False):
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} is left out while Keras is imported", name=spec.name)

    def exec_module(self, module):
        """Nothing: there is no module."""


sys.meta_path.insert(0, _Without())
