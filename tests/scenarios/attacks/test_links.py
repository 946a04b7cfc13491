"""Links where lastgood writes or deletes: their targets are left alone."""

import json
import os

import pytest

from scenarios.attacks import corpus


@pytest.fixture(scope="module")
def model():
    import keras

    made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def _save(model, path, **arguments):
    import lastgood

    checkpoint = lastgood.ModelCheckpoint(path, **arguments)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"loss": 1.0})
    checkpoint.wait()


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
@pytest.mark.parametrize("there", [True, False])
def test_a_save_over_a_link_does_not_touch_its_target(model, tmp_path, name, there):
    outside = tmp_path / "outside.keras"
    if there:
        outside.write_text("what must stay")
    (tmp_path / name).symlink_to(outside)
    _save(model, tmp_path / name, save_weights_only=name != "m.keras")
    assert not (tmp_path / name).is_symlink()
    assert outside.read_text() == "what must stay" if there else not outside.exists()


def test_a_save_over_a_link_to_a_directory_is_an_error(model, tmp_path):
    import lastgood

    _save(model, tmp_path / "there")
    before = sorted(path.name for path in (tmp_path / "there").iterdir())
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(lastgood.TargetIsDirectoryError):
        _save(model, tmp_path / "link")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == before


def test_a_checkpoint_that_is_a_link_is_loaded(model, tmp_path):
    """As in a cache of models, which is made of links."""
    import lastgood

    _save(model, tmp_path / "blob.keras")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "m.keras").symlink_to("../blob.keras")
    lastgood.load_weights(model, tmp_path / "snapshot" / "m.keras")
    assert [each.path.name for each in lastgood.open_run(tmp_path / "snapshot").checkpoints] == ["m.keras"]


def test_a_metric_that_leads_out_of_the_directory_is_an_error_and_writes_nothing(model, tmp_path):
    import lastgood

    checkpoint = lastgood.ModelCheckpoint(tmp_path / "run" / "{tag}.keras")
    checkpoint.set_model(model)
    with pytest.raises(lastgood.ArgumentError, match="leads elsewhere"):
        checkpoint.on_epoch_end(0, {"tag": "../outside"})
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_not_a_checkpoint(model, tmp_path):
    import lastgood

    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(lastgood.RestoreError, match="There is no checkpoint"):
        lastgood.load_weights(model, tmp_path / "m.keras")


def test_stock_keras_runs_the_code_in_a_hostile_configuration(tmp_path):
    """Otherwise the corpus would prove nothing."""
    import keras

    config = json.loads(corpus.lambda_config(tmp_path / "ran"))
    model = keras.saving.deserialize_keras_object(config, safe_mode=False)
    model(keras.ops.zeros((1, 4)))
    assert (tmp_path / "ran").exists()
