"""A process beside training that evaluates its checkpoints and keeps the best, with ``SidecarEvaluator``."""

import re

import numpy as np
import tensorflow as tf
import tf_keras

from lastgood import ModelCheckpoint


class Export(ModelCheckpoint):
    """Saves after an evaluation, under the epoch of the newest checkpoint, with the methods that subclasses use."""

    def __init__(self, filepath, checkpoints, **options):
        super().__init__(filepath, save_best_only=True, **options)
        self.checkpoints = checkpoints

    def on_test_begin(self, logs=None):
        newest = self._get_most_recently_modified_file_matching_pattern(self.checkpoints)
        self.export_index = int(re.search(r"ckpt-(\d+)", newest)[1]) - 1

    def on_test_end(self, logs=None):
        self.epochs_since_last_save += 1
        self._save_model(epoch=self.export_index, batch=None, logs=logs)


def test_an_evaluator_beside_training_finds_checkpoints_and_exports_the_best(fit, make_model, data, tmp_path, names):
    trained = make_model()
    pattern = str(tmp_path / "run" / "ckpt-{epoch:04d}")
    fit(trained, [ModelCheckpoint(pattern, save_weights_only=True)], epochs=3)
    x, y = data
    exported = make_model()
    export = Export(
        tmp_path / "best" / "model-{epoch:04d}.weights.h5", pattern, save_weights_only=True, monitor="loss", mode="min"
    )
    exported(x[:1])
    rows = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    evaluator = tf_keras.utils.SidecarEvaluator(
        exported, rows, str(tmp_path / "run"), max_evaluations=1, callbacks=[export]
    )
    evaluator.start()
    export.wait()
    assert names(tmp_path / "best") == ["model-0003.weights.h5"]
    loaded = make_model()
    loaded(x[:1])
    loaded.load_weights(tmp_path / "best" / "model-0003.weights.h5")
    for one, other in zip(trained.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
