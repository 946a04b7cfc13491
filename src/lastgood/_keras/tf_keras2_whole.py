"""Whole models of tf_keras 2. Read from tf_keras 2.21."""

import json
from typing import Any

import tf_keras

from .tf_keras2 import saving_as_archive
from .whole_model import ModelLoader


class TFKeras2Loader(ModelLoader):
    """``tf_keras.saving.load_model``."""

    generation = "tf_keras"

    def whole(self, path: str) -> Any:
        """Return the model in a file or directory, all of it by stock tf_keras."""
        return tf_keras.saving.load_model(path, *self._arguments())

    def from_config(self, config: bytes) -> Any:
        """Return the model of a ``config.json`` with the values that variables begin with; None if it is hidden how."""
        try:
            from tf_keras.src.saving.serialization_lib import ObjectSharingScope, deserialize_keras_object
        except ImportError:
            return None
        found = json.loads(config)
        if not self.compile:
            found["compile_config"] = None
        with saving_as_archive(), ObjectSharingScope():
            return deserialize_keras_object(found, self.custom_objects, safe_mode=self.safe_mode)

    def completed(self, model: Any, path: str) -> Any:
        """Return a model of :meth:`from_config` with all else that is in its archive, by stock tf_keras."""
        try:
            from tf_keras.src.saving.saving_lib import load_model
        except ImportError:
            return self.whole(path)
        return self._completed(load_model, model, path)
