"""Every format with every kind of model, loaded by stock Keras in a process without lastgood."""

import warnings
import zipfile

import h5py
import numpy as np
import pytest

import lastgood
from helpers import zoo
from helpers.kit import keras
from lastgood import ArgumentError, MissingExtraError, ModelCheckpoint
from lastgood._formats import choose_format
from lastgood._keras.keras3 import Keras3Model
from lastgood._policies.naming import Template
from lastgood._storage import locate

# path: weights only, how stock Keras saves the same
FORMATS = {
    "m.keras": (False, lambda model, path: model.save(path)),
    "m.weights.h5": (True, lambda model, path: model.save_weights(path)),
    "m.h5": (False, lambda model, path: model.save(path)),
    "w.hdf5": (True, None),  # stock Keras 3 reads these two but has no public way to write them
    "orbax": (True, None),
    "directory": (False, lambda model, path: model.save(path, zipped=False)),
}
WITHOUT_OPTIMIZER = {"w.hdf5", "m.h5"}  # stock Keras loads no optimizer state from a legacy file


def _fit(model, x, y, callbacks, epochs=1):
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks)


def _stock_outcome(model, save, path):
    """Save with stock Keras; return the exception's type where it cannot."""
    try:
        _stock_save(model, save, path)
    except Exception as error:  # noqa: BLE001 - lastgood has to raise whatever stock Keras raises
        return type(error)
    return None


def _stock_save(model, save, path):
    """Save with stock Keras, and put back the optimizer, which its legacy writer removes from the model's config."""
    config = dict(model._compile_config.config)
    try:
        save(model, path)
    finally:
        model._compile_config.config.update(config)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, load_in_stock):
    """Save every model of the zoo in every format, with lastgood and stock Keras; load all in one stock process.

    Returns, by builder: the model's state, the formats that are refused, and the directory; and what each path loads.
    """
    root, found, jobs = tmp_path_factory.mktemp("zoo"), {}, []
    with warnings.catch_warnings():
        for ignored in (
            "You are saving your model as an HDF5 file",
            r"`build\(\)` was called on layer 'vocabulary'",
            "Explicitly requested dtype .* is not available",
        ):
            warnings.filterwarnings("ignore", ignored)
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        for builder in zoo.there():
            state, refused, mine = _save_in_every_format(builder, root / builder)
            found[builder] = (state, refused, root / builder)
            jobs += mine
    loaded = dict(zip([path for path, _ in jobs], load_in_stock(jobs), strict=True))
    return found, loaded


def _save_in_every_format(builder, root):
    model, x, y = zoo.BUILDERS[builder]()
    for kind in ("trial", "stock"):
        (root / kind).mkdir(parents=True)
    _fit(model, x, y, [])
    refused = {n: _stock_outcome(model, save, root / "trial" / n) for n, (_, save) in FORMATS.items() if save}
    refused = {name: error for name, error in refused.items() if error}
    if "bfloat16" in {v.dtype for v in model.variables}:
        refused |= dict.fromkeys(("m.h5", "w.hdf5"), ArgumentError)  # stock Keras writes these, but cannot read them
    if not Keras3Model.reads_orbax() or any(0 in v.shape for v in model.variables):
        refused["orbax"] = ArgumentError  # Orbax itself refuses an empty array only when it writes
    good = [name for name in FORMATS if name not in refused]
    callbacks = [ModelCheckpoint(root / "ours" / name, save_weights_only=FORMATS[name][0]) for name in good]
    _fit(model, x, y, callbacks, epochs=2)

    for name, error in refused.items():
        callback = ModelCheckpoint(root / "ours" / name, save_weights_only=FORMATS[name][0])
        callback.set_model(model)
        with pytest.raises(error):
            callback.on_epoch_end(0, {})
    assert sorted(p.name for p in (root / "ours").iterdir()) == sorted(good)

    jobs = []
    for name in good:
        weights_only, save = FORMATS[name]
        jobs.append((root / "ours" / name, builder if weights_only else None))
        if save:
            _stock_save(model, save, root / "stock" / name)
            jobs.append((root / "stock" / name, builder if weights_only else None))
    return zoo.state(model), refused, jobs


@pytest.mark.all_parameters
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("builder", zoo.parameters())
def test_every_format_round_trips_like_stock_saving(outcomes, builder, name):
    found, loaded = outcomes
    state, refused, root = found[builder]
    if name not in refused:  # where stock Keras refuses to save, lastgood raised the same error
        ours, stock = loaded[root / "ours" / name], loaded.get(root / "stock" / name)
        if isinstance(stock, str):  # stock Keras cannot load what it saved: a subclassed model from a legacy file
            assert (ours, name) == (stock, "m.h5")
            return
        if stock is not None:
            _assert_same_as_stock(ours, stock, name)
        _assert_same_as_model(ours, state, name, builder)


@pytest.mark.all_parameters
@pytest.mark.parametrize("name", ["m.weights.h5", "m.h5", "directory/model.weights.h5"])
@pytest.mark.parametrize("builder", zoo.parameters())
def test_the_hdf5_contents_equal_those_of_the_stock_file(outcomes, builder, name):
    _, refused, root = outcomes[0][builder]
    if name not in refused:
        assert _hdf5_contents(root / "ours" / name) == _hdf5_contents(root / "stock" / name)


def _hdf5_contents(path):
    """Return each group and dataset by name, as attributes, type, shape and bytes; not the root or lastgood's data."""
    found = {}

    def visit(name, item):
        if name.startswith("_lastgood"):
            return
        is_data = isinstance(item, h5py.Dataset)
        data = (str(item.dtype), item.shape, item[()].tobytes()) if is_data else None
        found[name] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}, data

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def _assert_same_as_stock(got, stock, name):
    assert isinstance(got, dict), f"{name}: {got}"
    assert got.keys() == stock.keys()
    assert all(np.array_equal(got[key], stock[key]) for key in stock)


def _assert_same_as_model(got, state, name, builder):
    assert isinstance(got, dict), f"{name}: {got}"
    keys = list(state)
    if name in WITHOUT_OPTIMIZER or builder == "mixed_float16":  # stock loading restores no loss-scaling optimizer
        keys = [key for key in keys if key.startswith("weight")]
    if builder == "lora" and name != "orbax":  # stock saving merges LoRA's matrices into the kernel
        keys = [key for key in keys if "kernel" not in key]
    wrong = [key for key in keys if not np.array_equal(got[key], state[key])]
    assert not wrong


def test_a_bfloat16_model_cannot_be_saved_to_a_legacy_file(tmp_path):
    model, x, y = zoo.bfloat16()
    with pytest.raises(ArgumentError, match="'hidden/kernel' is of type bfloat16"):
        _fit(model, x, y, [ModelCheckpoint(tmp_path / "m.h5")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_saving_a_legacy_file_does_not_remove_the_optimizer_from_later_archives(fit, make_model, tmp_path):
    fit(make_model(), [ModelCheckpoint(tmp_path / "m.h5"), ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=2)
    for epoch in (1, 2):
        assert int(keras.models.load_model(tmp_path / f"{epoch}.keras").optimizer.iterations) == 10 * epoch


@pytest.mark.parametrize("name", FORMATS)
def test_the_record_is_in_the_checkpoint(fit, make_model, tmp_path, name):
    weights_only = FORMATS[name][0]
    model = make_model()
    history = fit(model, [ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)], epochs=2).history
    template = Template(name)
    record = choose_format(name, template.suffix, weights_only=weights_only).read_record(locate(tmp_path / name))
    assert (record.step, record.epoch, record.batch) == (20, 2, None)
    assert record.metrics == {key: values[-1] for key, values in history.items()}
    assert record.versions["keras"] == keras.version()
    assert record.versions["backend"] == keras.backend.backend()


def test_the_record_of_a_save_by_batch_has_its_step_epoch_and_batch(fit, make_model, tmp_path):
    fit(make_model(), [ModelCheckpoint(tmp_path / "m.keras", save_freq=14)], epochs=2)
    record = choose_format("m.keras", ".keras", weights_only=False).read_record(locate(tmp_path / "m.keras"))
    assert (record.step, record.epoch, record.batch) == (14, 2, 4)


def test_a_keras_archive_has_exactly_the_members_of_a_stock_archive(fit, make_model, tmp_path):
    model = make_model()
    fit(model, [ModelCheckpoint(tmp_path / "m.keras")])
    model.save(tmp_path / "stock.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive, zipfile.ZipFile(tmp_path / "stock.keras") as stock:
        assert archive.testzip() is None
        assert archive.namelist() == stock.namelist()


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer 'vocabulary'")
def test_a_directory_at_a_relative_path_keeps_its_assets(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="Keras's lookup layers need TensorFlow")
    monkeypatch.chdir(tmp_path)
    model, x, y = zoo.vocabulary()
    _fit(model, x, y, [ModelCheckpoint("ck")])
    loaded = keras.models.load_model("ck", custom_objects=zoo.CUSTOM_OBJECTS)
    assert loaded.lookup.get_vocabulary() == model.lookup.get_vocabulary()


@pytest.mark.skipif(not Keras3Model.reads_orbax(), reason="this release of Keras loads no weights from a directory")
def test_two_variables_with_the_same_path_cannot_be_saved_to_a_directory_of_weights(tmp_path):
    class Twins(keras.Model):
        def __init__(self):
            super().__init__(name="twins")
            self.one, self.two = (keras.layers.Dense(1, name="same") for _ in range(2))

        def call(self, x):
            return self.one(x) + self.two(x)

    model = Twins()
    model.compile("sgd", "mse")
    rows = np.ones((4, 2), "float32")
    model(rows)  # without this, the TensorFlow backend would build it only at the first batch
    with pytest.raises(ArgumentError, match="Two variables of the model have the path 'twins/same/kernel'"):
        _fit(model, rows, rows[:, :1], [ModelCheckpoint(tmp_path / "ck", save_weights_only=True)])
    assert list(tmp_path.iterdir()) == []
    _fit(model, rows, rows[:, :1], [ModelCheckpoint(tmp_path / "ck.weights.h5", save_weights_only=True)])


def test_a_directory_is_refused_before_training_if_keras_cannot_load_it(fit, make_model, tmp_path, monkeypatch):
    monkeypatch.setattr("lastgood._keras.keras3.Keras3Model.reads_orbax", lambda *_: False)
    trained = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: trained.append(batch))
    with pytest.raises(ArgumentError, match=r"cannot load weights from a directory\. Upgrade Keras, or"):
        fit(make_model(), [ModelCheckpoint(tmp_path / "ck", save_weights_only=True), watch])
    assert trained == []
    assert list(tmp_path.iterdir()) == []


def test_without_orbax_the_error_names_the_extra(fit, make_model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r"pip install 'lastgood\[orbax\]'") as caught:
        fit(make_model(), [ModelCheckpoint(tmp_path / "ck", save_weights_only=True)])
    assert isinstance(caught.value, MissingExtraError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="others cannot hold float8 or convert it to NumPy")
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "directory"])
def test_float8_variables_are_restored_although_stock_keras_cannot_load_them(tmp_path, name):
    class Scaled(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight((3,), "zeros", "float8_e4m3fn", trainable=False, autocast=False, name="scale")

        def call(self, x):
            return x

    keras.saving.register_keras_serializable("formats")(Scaled)

    def make():
        model = keras.Sequential([keras.Input((2,)), Scaled(), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(), "mse")
        return model

    model = make()
    model.layers[0].scale.assign(keras.ops.cast([1.0, 0.5, -2.0], "float8_e4m3fn"))
    x = np.ones((8, 2), "float32")
    _fit(model, x, x[:, :1], [ModelCheckpoint(tmp_path / name, save_weights_only=name == "m.weights.h5")])
    for load in (lastgood.load_weights, lastgood.restore):
        other = make()
        load(other, tmp_path / name)
        assert np.asarray(other.layers[0].scale.value).astype("float32").tolist() == [1.0, 0.5, -2.0]
