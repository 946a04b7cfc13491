"""A complete tf_keras model from a checkpoint: the one that stock tf_keras loads from the same file."""

import numpy as np
import pytest
import tf_keras

import lastgood
import lastgood.tf_keras
from lastgood import CorruptCheckpointError, ModelCheckpoint, RestoreError


class Doubled(tf_keras.layers.Dense):
    """A layer that is found only through ``custom_objects``."""

    def call(self, inputs):
        return 2 * super().call(inputs)


def _assert_loaded_alike(path, *arguments, **named):
    ours, stock = lastgood.load_model(path, *arguments, **named), tf_keras.models.load_model(path, *arguments, **named)
    assert type(ours) is type(stock)
    assert ours.get_config() == stock.get_config()
    assert (ours.optimizer is None) == (stock.optimizer is None)
    if stock.optimizer is not None:
        assert ours.get_compile_config() == stock.get_compile_config()
    pairs = list(zip(_variables(ours), _variables(stock), strict=True))
    assert not [one.name for one, other in pairs if not np.array_equal(one.numpy(), other.numpy())]
    return ours


def _variables(model):
    return [*model.weights, *(model.optimizer.variables if model.optimizer else ())]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("name", ["m.keras", "m.h5", "saved"])
def test_each_format_of_whole_models_is_loaded(fit, make_model, tmp_path, name):
    model = make_model()
    fit(model, [ModelCheckpoint(tmp_path / name)])
    ours = _assert_loaded_alike(tmp_path / name)
    assert name == "saved" or int(ours.optimizer.iterations) > 0  # stock tf_keras loads none from a SavedModel
    assert type(lastgood.tf_keras.load_model(tmp_path / name)) is type(ours)
    fit(ours, [])


def test_a_model_loaded_without_compiling_has_no_optimizer(fit, make_model, tmp_path):
    fit(make_model(), [ModelCheckpoint(tmp_path / "m.keras")])
    _assert_loaded_alike(tmp_path / "m.keras", compile=False)


def test_a_custom_class_is_found_in_custom_objects(fit, tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((4,)), Doubled(1)])
    model.compile("adam", "mse")
    fit(model, [ModelCheckpoint(tmp_path / "m.keras")])
    assert type(_assert_loaded_alike(tmp_path / "m.keras", {"Doubled": Doubled}).layers[0]) is Doubled


def test_text_vectorization_keeps_its_vocabulary_and_normalization_its_statistics(tmp_path):
    words = tf_keras.layers.TextVectorization(output_sequence_length=3)
    words.adapt(["a model of words", "a word"])
    path = tmp_path / "m.keras"
    tf_keras.Sequential([tf_keras.Input((1,), dtype="string"), words]).save(path)
    assert lastgood.load_model(path).layers[0].get_vocabulary() == words.get_vocabulary()
    rows = np.random.default_rng(0).normal(3, 2, size=(64, 4)).astype("float32")
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Normalization()])
    model.layers[0].adapt(rows)
    model.save(path)
    np.testing.assert_array_equal(lastgood.load_model(path).predict(rows, verbose=0), model.predict(rows, verbose=0))


def test_safe_mode_refuses_a_lambda_with_the_error_of_stock_tf_keras(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "m.keras")
    errors = []
    for load in (lastgood.load_model, tf_keras.models.load_model):
        with pytest.raises(ValueError, match="lambda") as caught:
            load(tmp_path / "m.keras")
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
    x = np.ones((2, 4))
    loaded = lastgood.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("name", ["m.keras", "saved"])
def test_load_model_makes_no_model_from_a_damaged_checkpoint(fit, make_model, tmp_path, name):
    path = tmp_path / name
    fit(make_model(), [ModelCheckpoint(path)])
    file = path / "saved_model.pb" if path.is_dir() else path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match="damaged"):
        lastgood.load_model(path)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.keras", "w.ckpt"])
def test_a_checkpoint_of_weights_says_to_build_the_model(fit, make_model, tmp_path, name):
    fit(make_model(), [ModelCheckpoint(tmp_path / name, save_weights_only=True)])
    with pytest.raises(RestoreError, match=r"weights and no model\. Build the model.*lastgood\.load_weights"):
        lastgood.load_model(tmp_path / name)
