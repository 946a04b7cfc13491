"""A TensorFlow checkpoint: its files, overwriting it, and damage to it."""

import pytest
import tensorflow as tf

from lastgood import CorruptCheckpointError, ModelCheckpoint, load_weights, open_run


def test_overwriting_one_path_leaves_no_part_of_the_old_checkpoint(fit, make_model, tmp_path, names):
    model, counts = make_model(), set()
    checkpoint = ModelCheckpoint(tmp_path / "ck", save_weights_only=True)
    for _ in range(3):
        fit(model, [checkpoint])
        assert len(names(tmp_path)) == 2 + len(list(tmp_path.glob("ck.data-*")))
        counts.add(len(list(tmp_path.glob("ck.data-*"))))
        loaded = make_model()
        loaded.load_weights(str(tmp_path / "ck"))  # stock
        assert all((a == b).all() for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
        assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ck")
    assert counts == {2, 3}  # the number of parts changes each time, so that new ones appear next to old ones


def test_training_continues_while_a_tensorflow_checkpoint_is_written(fit, make_model, tmp_path):
    """Each batch is saved, from a copy: each checkpoint holds the values of its own step."""
    model, seen = make_model(), {}
    watch = tf.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.update({batch + 1: [w.copy() for w in model.get_weights()]})
    )
    fit(model, [watch, ModelCheckpoint(tmp_path / "{batch}", save_weights_only=True, save_freq=1)])
    for batch, weights in seen.items():
        loaded = make_model()
        loaded.load_weights(str(tmp_path / str(batch)))
        assert all((a == b).all() for a, b in zip(loaded.get_weights(), weights, strict=True))


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00002", ".data-00001-of-00002"])
def test_damage_in_any_file_of_a_tensorflow_checkpoint_is_found(fit, make_model, tmp_path, ending):
    fit(make_model(), [ModelCheckpoint(tmp_path / "ck", save_weights_only=True)])
    run = open_run(tmp_path)
    assert [each.path.name for each in run.checkpoints] == ["ck"]
    assert run.verify() == []
    path = tmp_path / f"ck{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert len(run.verify(tmp_path / "ck")) == 1
    with pytest.raises(CorruptCheckpointError):
        load_weights(make_model(), tmp_path / "ck")


@pytest.mark.parametrize("weights_only", [True, False])
def test_a_restart_from_a_store_in_memory_resumes_and_saves(fit, make_model, weights_only):
    """TensorFlow reads what a model builds later from the copy that it was given, and saving builds something."""
    path = f"memory://{__name__}/{weights_only}/{{epoch}}"
    for epochs in (2, 4):
        fit(make_model(), [ModelCheckpoint(path, save_weights_only=weights_only, resume=True)], epochs=epochs)
    run = open_run(f"memory://{__name__}/{weights_only}")
    assert [each.epoch for each in run.checkpoints] == [1, 2, 3, 4]
    assert run.verify() == []
