"""Whole models of Keras 3. Read from Keras 3.15.1."""

from typing import Any

import keras

from .whole_model import ModelLoader


class Keras3Loader(ModelLoader):
    """``keras.saving.load_model``."""

    generation = "keras"

    def whole(self, path: str) -> Any:
        """Return the model in a file or directory, all of it by stock Keras."""
        return keras.saving.load_model(path, *self._arguments())

    def from_config(self, config: bytes) -> Any:
        """Return the model of a ``config.json`` with the values that variables begin with; None if Keras hides how."""
        try:
            from keras.src.saving.saving_lib import _model_from_config
        except ImportError:
            return None
        return _model_from_config(config, *self._arguments())

    def completed(self, model: Any, path: str) -> Any:
        """Return a model of :meth:`from_config` with all else that is in its archive, by stock Keras."""
        try:
            from keras.src.saving.saving_lib import load_model
        except ImportError:
            return self.whole(path)
        return self._completed(load_model, model, path)
