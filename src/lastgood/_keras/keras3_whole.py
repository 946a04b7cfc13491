"""Loading of whole models of Keras 3. The private names are those of Keras 3.15.1."""

from typing import Any

import keras

from .whole_model import ModelLoader


class Keras3Loader(ModelLoader):
    """The loader that works as ``keras.saving.load_model``."""

    generation = "keras"

    def whole(self, path: str) -> Any:
        """Load the model from a file or directory with stock Keras alone."""
        return keras.saving.load_model(path, *self._arguments())

    def from_config(self, config: bytes) -> Any:
        """Return the model of a ``config.json`` with initial values; None if Keras does not expose how."""
        try:
            from keras.src.saving.saving_lib import _model_from_config
        except ImportError:
            return None
        return _model_from_config(config, *self._arguments())

    def completed(self, model: Any, path: str) -> Any:
        """Load the rest of an archive into a model of :meth:`from_config` with stock Keras; return the model."""
        try:
            from keras.src.saving.saving_lib import load_model
        except ImportError:
            return self.whole(path)
        return self._completed(load_model, model, path)
