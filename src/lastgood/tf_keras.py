"""The callback for ``tf_keras`` and, with ``TF_USE_LEGACY_KERAS=1``, for ``tf.keras``."""

from ._errors import MissingExtraError

try:
    from ._callback.tf_keras2 import ModelCheckpoint
except ModuleNotFoundError as error:
    if error.name not in ("tf_keras", "tensorflow"):
        raise
    raise MissingExtraError.for_feature("lastgood.tf_keras", "tf-keras", "tf-keras") from error

__all__ = ["ModelCheckpoint"]
