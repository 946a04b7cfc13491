"""A path without a file ending, whole model, tf_keras: a SavedModel directory, which stock tf_keras writes."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from .._bytes import directory_record
from .._bytes.training_block import Training
from .._keras import ModelAdapter
from .._record import Record
from .._storage import Location
from .._storage.base import Kind
from .base import Fill, Snapshot, live, to_bytes
from .directory import DirectoryFormat


class SavedModel(DirectoryFormat):
    """A whole model with its traced functions."""

    name = "saved model"
    endings = {"tf_keras": ("",)}
    weights_only = False
    describes = "whole model"
    only_reader = "TensorFlow"
    takes_options = True
    markers = {"saved_model.pb", "variables"}

    @classmethod
    def is_at(cls, at: Location, kind: Kind | None, names: Collection[str]) -> bool:
        """Return True if the directory contains ``saved_model.pb``."""
        del at
        return kind == "directory" and "saved_model.pb" in names

    def prepare(self, adapter: ModelAdapter, training: Training) -> int:
        """Do nothing: stock tf_keras writes this format directly from the model."""
        del adapter, training
        return 0

    def snapshot(self, adapter: ModelAdapter, record: Record, training: Training) -> Snapshot:
        """Copy only the training state; tf_keras writes the rest from the model, so training has to wait."""
        content = to_bytes(adapter, training(self.unsaved_variables(adapter)))
        return live(
            lambda path: adapter.model.save(str(path), options=self._options),
            lambda stage: directory_record.write_record(stage, record, content),
        )

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return all but the weights: stock ``load_weights`` takes no optimizer state from a SavedModel."""
        return adapter.unsaved_variables(optimizer=False)

    @contextmanager
    def loading(
        self, adapter: ModelAdapter, at: Location, *, verified: bool = False, exact: bool = False
    ) -> Iterator[Fill]:
        """Check the files, and load only the variables with stock tf_keras: no function of the SavedModel is called."""
        del exact  # stock Keras compares layers and shapes
        if not verified:
            self.verify(at)
        at.storage.check_plain(at.path)
        with at.local() as path:
            yield lambda: adapter.model.load_weights(str(path))
