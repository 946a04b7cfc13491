"""TensorFlow's own checkpoints, for models of tf_keras 2.

The private names of TensorFlow are used here, with a fallback for versions that have moved them. They are those of
TensorFlow 2.21.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from .adapter import are_the_same
from .holdings import once
from .tf_keras2 import TFKeras2Model


class CopiedCheckpoint:
    """A checkpoint that is written from copies of a model's variables; all saves use the same copies."""

    def __init__(self, adapter: TFKeras2Model) -> None:
        """Find the objects to copy.

        Raises:
            NotImplementedError: This TensorFlow, the model's strategy, or an object in the model supports no copies.
        """
        try:
            from tensorflow.python.checkpoint.async_checkpoint_helper import _get_all_trackables
            from tensorflow.python.util.object_identity import ObjectIdentityDictionary, ObjectIdentitySet
        except ImportError as error:
            raise NotImplementedError from error
        if adapter.strategy().num_replicas_in_sync > 1:
            raise NotImplementedError
        self._checkpoint = tf.train.Checkpoint(root=adapter.model)
        aside = ObjectIdentitySet([self._checkpoint, self._checkpoint.save_counter])
        self._originals, _ = _get_all_trackables(root=self._checkpoint, exclude_set=aside)
        self._originals += once(adapter.optimizer_variables())
        self._copies = ObjectIdentityDictionary()
        self._variables = adapter.planned_variables()
        if not hasattr(self._checkpoint, "_saver") or not hasattr(self._checkpoint._saver, "_object_map"):
            raise NotImplementedError
        self._checkpoint._saver._object_map = self._copies

    def is_of(self, adapter: TFKeras2Model) -> bool:
        """Return True if the model still has the variables that were found."""
        return are_the_same(adapter.planned_variables(), self._variables)

    def take(self) -> None:
        """Copy the current values.

        Raises:
            NotImplementedError: An object in the model supports no copies.
        """
        for original in self._originals:
            original._copy_trackable_to_cpu(object_map=self._copies)

    def write(self, path: Path, options: Any) -> None:
        """Write the copies."""
        self._checkpoint.write(str(path), options=options)


def write_checkpoint(model: Any, path: Path, options: Any) -> None:
    """Write a checkpoint as ``model.save_weights`` does, without making it the latest."""
    tf.train.Checkpoint(root=model).write(str(path), options=options)


def merge_checkpoints(directory: Path, name: str, others: Sequence[str], path: Path) -> None:
    """Merge the checkpoint called ``name`` in ``directory`` with new ones of a single tensor each, into ``path``.

    Args:
        directory: Contains the checkpoint; the new ones are written there too.
        name: The checkpoint's name.
        others: The names of those tensors; each becomes a part of the result, after the parts of the first checkpoint.
        path: Receives the result.
    """
    prefixes = [str(directory / name), *(str(directory / f"part-{i}") for i in range(len(others)))]
    for prefix, other in zip(prefixes[1:], others, strict=True):
        tensor = tf.constant(1)
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=[other], shape_and_slices=[""], tensors=[tensor])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(path), delete_old_dirs=False)


def latest_state(name: str) -> bytes:
    """Return a ``checkpoint`` file for which ``tf.train.latest_checkpoint`` returns ``name`` in its directory."""
    generate = tf.compat.v1.train.generate_checkpoint_state_proto
    # Any absolute directory: TensorFlow rewrites the name only for a relative one.
    state = generate(save_dir=os.sep, model_checkpoint_path=name, all_model_checkpoint_paths=[name])
    text: str = text_format.MessageToString(state)
    return text.encode()
