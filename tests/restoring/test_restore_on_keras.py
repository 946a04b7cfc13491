"""Loading weights: checked first, read directly into the model, with the same result as stock loading."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import lastgood
from helpers import zoo
from helpers.kit import keras, to_numpy
from lastgood import ArgumentError, CorruptCheckpointError, ModelCheckpoint, RestoreError

FORMATS = {"m.keras": False, "m.weights.h5": True, "m.h5": False, "w.hdf5": True, "orbax": True, "directory": False}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        for ignored in ("You are saving your model as an HDF5 file", r"`build\(\)` was called on layer 'vocabulary'"):
            warnings.filterwarnings("ignore", ignored)
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def _save(model, path):
    checkpoint = ModelCheckpoint(path, save_weights_only=FORMATS.get(path.name, path.name.endswith(".weights.h5")))
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {})
    checkpoint.wait()


def _trained(builder="norm_dropout", seed=7):
    keras.utils.set_random_seed(seed)
    model, x, y = zoo.BUILDERS[builder]()
    model.fit(x, y, batch_size=4, verbose=0)
    return model


def _assert_same(a, b, only_weights=False):
    found, expected = zoo.state(a), zoo.state(b)
    keys = [key for key in expected if not only_weights or key.startswith("weight")]
    wrong = [key for key in keys if not np.array_equal(found[key], expected[key])]
    assert not wrong


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_loaded_into_another_model(tmp_path, name):
    model, other = _trained(seed=7), _trained(seed=8)
    _save(model, tmp_path / name)
    lastgood.load_weights(other, str(tmp_path / name))
    _assert_same(other, model, only_weights=name in ("m.h5", "w.hdf5"))
    other.fit(*zoo.norm_dropout()[1:], verbose=0)  # and training continues, in memory that the model owns
    assert int(other.optimizer.iterations) > 0


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype .* is not available")  # by jax
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("builder", zoo.parameters())
def test_load_weights_loads_every_model_as_stock_keras_does(tmp_path, builder, ending):
    model, ours, stock = _trained(builder, seed=7), _trained(builder, seed=8), _trained(builder, seed=9)
    _save(model, tmp_path / f"m{ending}")
    lastgood.load_weights(ours, tmp_path / f"m{ending}")
    stock.load_weights(tmp_path / f"m{ending}")
    _assert_same(ours, stock, only_weights=builder == "mixed_float16")


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_layer_recomputes_what_it_derives_from_loaded_weights(tmp_path, ending):
    """Normalization saves its statistics in variables, and computes with other values, derived from them."""
    rows = np.random.default_rng(0).normal(3, 2, size=(64, 4)).astype("float32")
    model, other = (keras.Sequential([keras.Input((4,)), keras.layers.Normalization()]) for _ in range(2))
    model.layers[0].adapt(rows)
    _save(model, tmp_path / f"m{ending}")
    lastgood.load_weights(other, tmp_path / f"m{ending}")
    np.testing.assert_array_equal(other.predict(rows, verbose=0), model.predict(rows, verbose=0))


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_file_of_stock_keras_is_loaded(tmp_path, ending):
    model, other = _trained(seed=7), _trained(seed=8)
    path = tmp_path / f"m{ending}"
    model.save(path) if ending == ".keras" else model.save_weights(path)
    lastgood.load_weights(other, path)
    _assert_same(other, model)


def test_weights_of_another_dtype_are_converted_as_in_stock_keras(tmp_path):
    """The variables of the model have other dtypes than the arrays of the file."""
    model = _trained()
    _save(model, tmp_path / "m.weights.h5")
    with _policy("float16"):
        ours, _, _ = zoo.norm_dropout()
        stock, _, _ = zoo.norm_dropout()
    lastgood.load_weights(ours, tmp_path / "m.weights.h5")
    stock.load_weights(tmp_path / "m.weights.h5")
    _assert_same(ours, stock, only_weights=True)


@contextmanager
def _policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def test_load_weights_builds_the_optimizer_to_load_its_state(tmp_path):
    """Stock loading skips the state of an optimizer that is not built, as on TensorFlow before the first batch."""
    model = _trained()
    _save(model, tmp_path / "m.weights.h5")
    other = keras.models.clone_model(model)
    other.compile(keras.optimizers.Adam(name="adam"), keras.losses.MeanSquaredError())
    lastgood.load_weights(other, tmp_path / "m.weights.h5")
    assert int(other.optimizer.iterations) == 4
    _assert_same(other, model)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_the_error_for_a_changed_byte_names_the_variable_and_nothing_is_loaded(tmp_path, ending):
    model, other = _trained(seed=7), _trained(seed=8)
    path = tmp_path / f"m{ending}"
    _save(model, path)
    content = bytearray(path.read_bytes())
    kernel = np.asarray(to_numpy(model.get_layer("last").kernel)).tobytes()
    content[content.index(kernel) + 5] ^= 0x10
    path.write_bytes(content)
    before = zoo.state(other)
    with pytest.raises(CorruptCheckpointError, match=r"damaged in the variable '.*last/kernel' \(the array") as caught:
        lastgood.load_weights(other, path)
    assert str(path) in str(caught.value)
    assert caught.value.array == "layers/dense_1/vars/0"
    assert all(np.array_equal(before[key], value) for key, value in zoo.state(other).items())
    assert isinstance(caught.value, RestoreError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
def test_a_changed_byte_anywhere_is_found(tmp_path, name):
    model, path = _trained(), tmp_path / name
    _save(model, path)
    whole = path.read_bytes()
    for at in np.random.default_rng(5).integers(0, len(whole), 60):
        content = bytearray(whole)
        content[at] ^= 0x20
        path.write_bytes(content)
        with pytest.raises(CorruptCheckpointError):
            lastgood.load_weights(model, path)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(RestoreError):
            lastgood.load_weights(model, path)


def test_the_error_for_other_shapes_names_the_variable_and_nothing_is_loaded(tmp_path):
    _save(_trained(), tmp_path / "m.weights.h5")
    other = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(9, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, name="last"),
        ]
    )
    before = other.get_weights()
    wanted = r"first/kernel' .*has the shape \(6, 9\) \(float32\) in the model and \(6, 8\) \(float32\) in the file"
    with pytest.raises(RestoreError, match=wanted):
        lastgood.load_weights(other, tmp_path / "m.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_a_directory_of_another_model_is_refused(tmp_path):
    """Stock Keras loads nothing from it into a model whose layers have other names, without any error."""
    _save(_trained(), tmp_path / "orbax")
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, name="elsewhere")], name="norm_dropout")
    with pytest.raises(RestoreError, match=r"'trainable_variables/norm_dropout/elsewhere/bias' has .* is not in the"):
        lastgood.load_weights(other, tmp_path / "orbax")


def test_a_failed_load_leaves_the_optimizer_unchanged(tmp_path):
    """It used to be built, to name its variables, although nothing was loaded."""
    model, path = _trained(), tmp_path / "m.weights.h5"
    _save(model, path)
    content = bytearray(path.read_bytes())
    content[content.index(np.asarray(to_numpy(model.get_layer("last").kernel)).tobytes())] ^= 1
    path.write_bytes(content)
    other = keras.models.clone_model(model)
    other.compile(keras.optimizers.Adam(name="adam"), keras.losses.MeanSquaredError())
    before = len(other.optimizer.variables)
    with pytest.raises(CorruptCheckpointError, match="last/kernel"):
        lastgood.load_weights(other, path)
    assert len(other.optimizer.variables) == before


def test_an_error_of_stock_loading_becomes_a_restore_error_with_the_path(tmp_path):
    _save(_trained(), tmp_path / "m.weights.h5")
    other = keras.Sequential([keras.Input((3, 6)), keras.layers.LSTM(3)])
    with pytest.raises(RestoreError, match=r"Error loading file from .*m\.weights\.h5"):
        lastgood.load_weights(other, tmp_path / "m.weights.h5")


def test_load_weights_refuses_a_missing_checkpoint_and_an_unbuilt_model(tmp_path):
    with pytest.raises(RestoreError, match="There is no checkpoint at"):
        lastgood.load_weights(_trained(), tmp_path / "m.keras")
    _save(_trained(), tmp_path / "m.keras")
    with pytest.raises(ArgumentError, match="The model is not built"):
        lastgood.load_weights(keras.Sequential([keras.layers.Dense(1)]), tmp_path / "m.keras")
