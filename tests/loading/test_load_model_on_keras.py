"""Complete models from checkpoints: the same that stock Keras loads, or an error and no model."""

import warnings

import keras
import numpy as np
import pytest

import lastgood
from helpers import zoo
from helpers.kit import to_numpy
from lastgood import CorruptCheckpointError, ModelCheckpoint, RestoreError

LAMBDA = "The object being serialized includes a `lambda`"


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        for ignored in ("You are saving your model as an HDF5 file", r"`build\(\)` was called on layer 'vocabulary'"):
            warnings.filterwarnings("ignore", ignored)
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def _trained(builder="norm_dropout"):
    keras.utils.set_random_seed(7)
    model, x, y = zoo.BUILDERS[builder]()
    model.fit(x, y, batch_size=4, verbose=0)
    return model


def _saved(model, path, **arguments):
    checkpoint = ModelCheckpoint(path, **arguments)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {})
    checkpoint.wait()
    return path


def _damage(path, content):
    """Flip a bit in a file, in the given content."""
    whole = bytearray(path.read_bytes())
    whole[whole.index(content)] ^= 1
    path.write_bytes(whole)


def _assert_loaded_alike(path, *arguments, **named):
    """Load a model with lastgood and with stock Keras, from the same seed, and return both."""
    loaded = []
    for load in (lastgood.load_model, keras.saving.load_model):
        keras.utils.set_random_seed(5)
        loaded.append(load(path, *arguments, **named))
    _assert_alike(*loaded)
    return loaded


def _assert_alike(ours, stock):
    assert type(ours) is type(stock)
    assert ours.get_config() == stock.get_config()
    assert ours.compiled == stock.compiled
    if stock.compiled:
        assert ours.get_compile_config() == stock.get_compile_config()
        assert type(ours.optimizer) is type(stock.optimizer)
        assert [type(each) for each in ours.metrics] == [type(each) for each in stock.metrics]
    mine, theirs = _state(ours), _state(stock)
    assert mine.keys() == theirs.keys()
    assert not [name for name, value in theirs.items() if not np.array_equal(mine[name], value)]
    for one, other in zip(_all_variables(ours), _all_variables(stock), strict=True):
        assert one.dtype == other.dtype
        assert one.trainable == other.trainable


def _all_variables(model):
    return [*model.variables, *(model.optimizer.variables if model.compiled else ())]


def _state(model):
    return {f"{i} {v.name}": np.asarray(to_numpy(v)) for i, v in enumerate(_all_variables(model))}


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype .* is not available")  # by jax
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # by stock Keras, of mixed_float16
@pytest.mark.parametrize("builder", zoo.parameters())
def test_load_model_loads_every_model_as_stock_keras_does(tmp_path, builder):
    path = _saved(_trained(builder), tmp_path / "m.keras")
    ours, stock = _assert_loaded_alike(path, custom_objects=zoo.CUSTOM_OBJECTS)
    _, x, y = zoo.BUILDERS[builder]()
    for model in (ours, stock):
        keras.utils.set_random_seed(3)
        model.fit(x, y, batch_size=4, verbose=0)
    if builder != "mixed_float16":
        _assert_alike(ours, stock)
    if hasattr(stock, "lookup"):
        assert ours.lookup.get_vocabulary() == stock.lookup.get_vocabulary()


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "directory"])
def test_each_format_of_whole_models_is_loaded(tmp_path, name):
    path = _saved(_trained(), tmp_path / name)
    _assert_loaded_alike(str(path))


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_file_that_stock_keras_wrote_is_loaded(tmp_path, name):
    path = tmp_path / name
    _trained().save(path)
    _assert_loaded_alike(path)


def test_compile_false_loads_the_same_weights_and_no_optimizer(tmp_path):
    path = _saved(_trained(), tmp_path / "m.keras")
    ours, _ = _assert_loaded_alike(path, compile=False)
    assert not ours.compiled


@pytest.mark.filterwarnings(f"ignore:{LAMBDA}")
def test_a_lambda_is_refused_in_safe_mode_as_stock_keras_refuses_it(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(1)])
    path = _saved(model, tmp_path / "m.keras")
    with pytest.raises(ValueError, match="lambda") as stock:
        keras.saving.load_model(path)
    with pytest.raises(ValueError, match="lambda") as ours:
        lastgood.load_model(path)
    assert type(ours.value) is type(stock.value)
    assert str(ours.value) == str(stock.value)
    x = np.ones((2, 4))
    loaded = lastgood.load_model(path, safe_mode=False)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


class Doubled(keras.layers.Dense):
    """A layer that Keras cannot find by its configuration alone."""

    def call(self, inputs):
        return 2 * super().call(inputs)


def test_a_custom_class_is_found_in_custom_objects_by_its_name_alone(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((4,)), Doubled(3)])
    path = _saved(model, tmp_path / "m.keras")
    monkeypatch.setattr(Doubled, "__module__", "elsewhere")
    loaded, _ = _assert_loaded_alike(path, {"Doubled": Doubled})
    assert type(loaded.layers[0]) is Doubled


def test_load_model_computes_what_a_layer_derives_from_its_weights(tmp_path):
    rows = np.random.default_rng(0).normal(3, 2, size=(64, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Normalization()])
    model.layers[0].adapt(rows)
    path = _saved(model, tmp_path / "m.keras")
    np.testing.assert_array_equal(lastgood.load_model(path).predict(rows, verbose=0), model.predict(rows, verbose=0))


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "directory"])
def test_load_model_makes_no_model_from_a_damaged_checkpoint(tmp_path, name, monkeypatch):
    model = _trained()
    path = _saved(model, tmp_path / name)
    kernel = np.asarray(to_numpy(model.get_layer("last").kernel)).tobytes()
    _damage(path / "model.weights.h5" if path.is_dir() else path, kernel)
    made = []
    monkeypatch.setattr(keras.Sequential, "from_config", lambda *arguments: made.append(arguments))
    with pytest.raises(CorruptCheckpointError, match="damaged") as caught:
        lastgood.load_model(path)
    assert str(path) in str(caught.value)
    assert not made


def test_a_changed_byte_of_the_configuration_is_found(tmp_path):
    path = _saved(_trained(), tmp_path / "m.keras")
    _damage(path, b'"norm_dropout"')
    with pytest.raises(CorruptCheckpointError, match=r"the member 'config\.json'"):
        lastgood.load_model(path)


@pytest.mark.parametrize("name", ["m.weights.h5", "w.h5", "orbax"])
def test_a_checkpoint_of_weights_says_to_build_the_model(tmp_path, name):
    path = _saved(_trained(), tmp_path / name, save_weights_only=True)
    with pytest.raises(RestoreError, match=r"weights and no model\. Build the model.*lastgood\.load_weights") as caught:
        lastgood.load_model(path)
    assert str(path) in str(caught.value)


def test_load_model_refuses_a_missing_checkpoint(tmp_path):
    with pytest.raises(RestoreError, match="There is no checkpoint at"):
        lastgood.load_model(tmp_path / "m.keras")


def test_models_are_loaded_from_a_url_and_from_the_latest_and_best_of_a_run():
    keras.utils.set_random_seed(7)
    model, x, y = zoo.BUILDERS["norm_dropout"]()
    run = "memory://load-model"
    checkpoint = ModelCheckpoint(f"{run}/{{epoch}}.keras", monitor="loss")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint])
    best, latest = lastgood.open_run(run).best("loss"), lastgood.open_run(run).latest
    for loaded in (lastgood.load_model(f"{run}/2.keras"), latest.load_model()):
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert np.array_equal(best.load_model().get_weights()[0], lastgood.load_model(best.path).get_weights()[0])
    assert not best.load_model(compile=False).compiled


def test_assets_are_loaded_from_a_url():
    model = _trained("vocabulary")
    _saved(model, "memory://load-assets/m.keras")
    loaded = lastgood.load_model("memory://load-assets/m.keras", zoo.CUSTOM_OBJECTS)
    assert loaded.lookup.get_vocabulary() == model.lookup.get_vocabulary()


def test_text_vectorization_keeps_its_vocabulary(tmp_path):
    pytest.importorskip("tensorflow")
    layer = keras.layers.TextVectorization(output_sequence_length=3)
    layer.adapt(["a model of words", "a word"])
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    path = tmp_path / "m.keras"
    model.save(path)
    loaded = lastgood.load_model(path)
    assert loaded.layers[0].get_vocabulary() == layer.get_vocabulary()
