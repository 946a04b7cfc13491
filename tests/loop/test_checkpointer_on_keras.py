"""Custom training loops: restore and Checkpointer."""

import numpy as np
import pytest

import lastgood
from helpers.crashing import build, start
from helpers.kit import keras, to_numpy
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.any_backend


def test_restore_brings_back_variables_progress_and_random_state(fit, tmp_path):
    model, _ = start(fit, [ModelCheckpoint(tmp_path / "a.keras")], other=False)
    drawn = np.random.random()
    keras.utils.set_random_seed(99)
    other = build()
    progress = lastgood.restore(other, tmp_path / "a.keras")
    assert (progress.step, progress.epoch, progress.batch) == (30, 3, None)
    assert progress.metrics.keys() == {"accuracy", "auc", "loss"}
    assert np.random.random() == drawn
    for a, b in zip(
        [*model.variables, *model.optimizer.variables], [*other.variables, *other.optimizer.variables], strict=True
    ):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_a_custom_loop_resumes_exactly(tmp_path, data):
    x, y = data

    def train(steps):
        keras.utils.set_random_seed(8)
        model = build()
        model.build((None, 4))
        with lastgood.Checkpointer(tmp_path / "{step:03d}.weights.h5") as checkpointer:
            progress = checkpointer.restore(model)
            for step in range(progress.step if progress else 0, steps):
                rows = np.random.choice(40, 4, replace=False)
                loss = model.train_on_batch(x[rows], y[rows])[0]
                checkpointer.save(model, step=step + 1, metrics={"loss": loss}, extra={"rows": rows})
            assert not checkpointer.should_stop
        return model, progress

    train(5)
    resumed, progress = train(9)
    assert (progress.step, progress.extra["rows"].shape) == (5, (4,))
    for path in tmp_path.glob("*.weights.h5"):
        path.unlink()
    whole, _ = train(9)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_custom_loop_applies_its_retention_rules_also_after_a_restart(tmp_path):
    def checkpointer():
        path = tmp_path / "{step}.weights.h5"
        return lastgood.Checkpointer(path, keep_last=2, keep_best=1, monitor="loss")

    model = build()
    with checkpointer() as first:
        for step, loss in enumerate((3.0, 1.0, 2.0, 4.0), 1):
            first.save(model, step=step, metrics={"loss": loss})
    assert [each.step for each in first.run.checkpoints] == [2, 3, 4]
    with checkpointer() as second:
        assert second.restore(model).step == 4
        second.save(model, step=5, metrics={"loss": 5.0})
    assert [each.step for each in second.run.checkpoints] == [2, 4, 5]
