"""Loading of whole models of tf_keras 2. The private names are those of tf_keras 2.21."""

import json
from collections.abc import Iterator
from typing import Any

import tf_keras

from .tf_keras2 import saving_as_archive
from .whole_model import ModelLoader


class TFKeras2Loader(ModelLoader):
    """The loader that works as ``tf_keras.saving.load_model``."""

    generation = "tf_keras"

    def whole(self, path: str) -> Any:
        """Load the model from a file or directory with stock tf_keras alone."""
        return tf_keras.saving.load_model(path, *self._arguments())

    def creating(self, config: bytes) -> Iterator[Any]:
        """Yield the model of a ``config.json`` with initial values; nothing if tf_keras does not expose how."""
        try:
            from tf_keras.src.saving.serialization_lib import ObjectSharingScope, deserialize_keras_object
        except ImportError:
            return
        found = json.loads(config)
        if not self.compile:
            found["compile_config"] = None
        with saving_as_archive(), ObjectSharingScope():
            model = deserialize_keras_object(found, self.custom_objects, safe_mode=self.safe_mode)
        yield model

    def completed(self, model: Any, path: str) -> Any:
        """Load the rest of an archive into a model of :meth:`creating` with stock tf_keras; return the model."""
        try:
            from tf_keras.src.saving.saving_lib import load_model
        except ImportError:
            return self.whole(path)
        return self._completed(load_model, model, path)
